"""YAML text -> plain JSON values with the line of every field.

Built on libyaml's events, not on PyYAML's composer: without recursion, no text can overflow the
stack; depth, size and the expansion of aliases are bounded. Counterparts: `yamlscalar.py` reads
scalars, `parse.py` knows the kinds.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import yaml

from tulle.policies.problems import Code, Path
from tulle.policies.yamlscalar import Json, plain_scalar

MAX_BYTES = 8 * 1024 * 1024
MAX_DEPTH = 64
MAX_NODES = 1_000_000
MAX_RESTARTS = 20

_TAB = "found a tab: indent with spaces"
_STRING_TAGS = ("!", "tag:yaml.org,2002:str")
_CORE_TAGS = ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")


@dataclass(frozen=True, slots=True)
class Fault:
    """Something in the text that is not YAML, or not JSON. `line` counts from 1."""

    code: Code
    line: int
    path: Path
    message: str


@dataclass(slots=True)
class Tree:
    """One document of a text: its value and the line of each node (from 1), keyed by path."""

    value: Json = None
    lines: dict[Path, int] = field(default_factory=dict)


def read_yaml(text: str) -> tuple[list[Tree], list[Fault]]:
    """All documents of `text` that can be read, and everything that can't.

    After an error in one document reading goes on at the next `---`, `MAX_RESTARTS` times.
    """
    if len(text) > MAX_BYTES or len(text.encode(errors="replace")) > MAX_BYTES:
        return [], [Fault("yaml", 0, (), f"over {MAX_BYTES} bytes; split it into several applies")]
    trees: list[Tree] = []
    faults: list[Fault] = []
    lines = text.split("\n")
    start = 0
    for _ in range(MAX_RESTARTS + 1):
        reader = _Reader(start)
        failed_at = reader.read("\n".join(lines[start:]) if start else text)
        trees += reader.trees
        faults += reader.faults
        if failed_at is None:
            break
        after = range(max(failed_at, start + 1), len(lines))
        start = next((n for n in after if lines[n].startswith("---")), len(lines))
        if start >= len(lines):
            break
    return trees, faults


def _at_tab(text: str, mark: yaml.Mark | None) -> bool:
    """Whether the reader stopped at a tab, which YAML does not indent with."""
    if mark is None:
        return False
    lines = text.split("\n")
    return mark.line < len(lines) and lines[mark.line][mark.column : mark.column + 1] == "\t"


class _TooMuch(Exception):
    """A bound was passed; reading of the text ends."""


@dataclass(slots=True)
class _Open:
    """A mapping or sequence that is being read."""

    container: dict[str, Json] | list[Json]
    path: Path
    anchor: str | None
    nodes_before: int
    key: str | None = None
    skip_value: bool = False


class _Reader:
    """Reads one stretch of text whose first line has the index `offset` in the file."""

    def __init__(self, offset: int) -> None:
        self.trees: list[Tree] = []
        self.faults: list[Fault] = []
        self._offset = offset
        self._stack: list[_Open] = []
        self._anchors: dict[str, tuple[Json, int]] = {}
        self._nodes = 0
        self._tree = Tree()

    def read(self, text: str) -> int | None:
        """None when all was read, else the index in the file of the line that could not be."""
        line = self._offset
        try:
            for event in self._events(text):
                if event.start_mark is not None:
                    line = self._offset + event.start_mark.line
                self._take(event, line + 1)
        except yaml.MarkedYAMLError as error:
            if error.problem_mark is not None:
                line = self._offset + error.problem_mark.line
            why = _TAB if _at_tab(text, error.problem_mark) else error.problem or error.context
            self._fault("yaml", line + 1, f"not YAML: {why}")
            return line
        except (yaml.YAMLError, UnicodeError) as error:
            self._fault("yaml", line + 1, f"not YAML: {' '.join(str(error).split())}")
            return line
        except _TooMuch as error:
            self._fault("yaml", line + 1, str(error))
            return line
        return None

    @staticmethod
    def _events(text: str) -> Iterator[yaml.Event]:
        return yaml.parse(text, Loader=yaml.CSafeLoader)

    def _take(self, event: yaml.Event, line: int) -> None:
        match event:
            case yaml.DocumentStartEvent():
                self._tree, self._anchors, self._nodes = Tree(), {}, 0
            case yaml.DocumentEndEvent():
                if self._tree.value is not None:
                    self.trees.append(self._tree)
            case yaml.ScalarEvent():
                self._scalar(event, line)
            case yaml.AliasEvent():
                self._alias(event.anchor or "", line)
            case yaml.MappingStartEvent():
                self._open({}, event, line)
            case yaml.SequenceStartEvent():
                self._open([], event, line)
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                self._close()

    def _fault(self, code: Code, line: int, message: str, path: Path = ()) -> None:
        self.faults.append(Fault(code, line, path, message))

    def _count(self, nodes: int) -> None:
        self._nodes += nodes
        if self._nodes > MAX_NODES:
            raise _TooMuch(f"over {MAX_NODES} values in one document, aliases expanded")

    def _expects_key(self) -> _Open | None:
        top = self._stack[-1] if self._stack else None
        return top if top and isinstance(top.container, dict) and top.key is None else None

    def _next_path(self) -> Path:
        if not self._stack:
            return ()
        top = self._stack[-1]
        part = len(top.container) if isinstance(top.container, list) else top.key or ""
        return (*top.path, part)

    def _open(
        self, container: dict[str, Json] | list[Json], event: yaml.CollectionStartEvent, line: int
    ) -> None:
        self._check_tag(event.tag, line, _CORE_TAGS)
        if (mapping := self._expects_key()) is not None:
            self._set_key(mapping, "?", line)
            self._fault("yaml", line, "a key must be a plain word", mapping.path)
        if len(self._stack) >= MAX_DEPTH:
            raise _TooMuch(f"nested deeper than {MAX_DEPTH} levels")
        self._count(1)
        path = self._next_path()
        self._stack.append(_Open(container, path, event.anchor, self._nodes))
        # A key's line is better than its value's: `hosts:` stands above its first item.
        self._tree.lines.setdefault(path, line)

    def _close(self) -> None:
        closed = self._stack.pop()
        if closed.anchor:
            self._anchors[closed.anchor] = (closed.container, self._nodes - closed.nodes_before + 1)
        self._add(closed.container)

    def _scalar(self, event: yaml.ScalarEvent, line: int) -> None:
        self._count(1)
        if (mapping := self._expects_key()) is not None:
            if event.value == "<<" and event.implicit[0]:  # quoted it is a key like any other
                message = "merge keys (<<) are not supported; write the fields"
                self._fault("yaml", line, message, (*mapping.path, "<<"))
            self._set_key(mapping, event.value, line)
            if event.anchor:
                self._anchors[event.anchor] = (event.value, 1)
            return
        path = self._next_path()
        self._tree.lines.setdefault(path, line)
        value: Json = event.value
        if event.tag in (None, *_STRING_TAGS):
            if event.tag is None and event.implicit[0]:
                value = self._plain(event.value, line, path)
        else:
            self._check_tag(event.tag, line, _STRING_TAGS)
        if event.anchor:
            self._anchors[event.anchor] = (value, 1)
        self._add(value)

    def _plain(self, text: str, line: int, path: Path) -> Json:
        try:
            return plain_scalar(text)
        except ValueError as error:
            self._fault("yaml", line, str(error), path)
            return text

    def _check_tag(self, tag: str | None, line: int, allowed: tuple[str, ...]) -> None:
        if tag is not None and tag not in allowed:
            self._fault("yaml", line, f"the tag {tag} is not supported; remove it")

    def _alias(self, anchor: str, line: int) -> None:
        if anchor not in self._anchors:
            # libyaml leaves this to the composer; also an alias inside its own anchor ends here.
            self._fault("yaml", line, f"the alias *{anchor} has no anchor before it")
        value, nodes = self._anchors.get(anchor, (None, 1))
        self._count(nodes)
        if (mapping := self._expects_key()) is not None:
            self._set_key(mapping, value if isinstance(value, str) else "?", line)
            return
        self._tree.lines.setdefault(self._next_path(), line)
        self._add(value)

    def _set_key(self, mapping: _Open, key: str, line: int) -> None:
        mapping.key = key
        mapping.skip_value = False
        path = (*mapping.path, key)
        assert isinstance(mapping.container, dict)
        if key in mapping.container:
            first = self._tree.lines.get(path, 0)
            self._fault("duplicate", line, f'"{key}" is already given in line {first}', path)
            mapping.skip_value = True
        self._tree.lines.setdefault(path, line)

    def _add(self, value: Json) -> None:
        if not self._stack:
            self._tree.value = value
            return
        top = self._stack[-1]
        if isinstance(top.container, list):
            top.container.append(value)
            return
        if not top.skip_value and top.key is not None:
            top.container[top.key] = value
        top.key = None
