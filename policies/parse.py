"""Policy files -> documents and problems: all problems of all, with file, line and path.

A document that comes out here has a known kind and fits Istio's schema. Whether this version
executes it is `supported.py`'s question, whether it makes sense that of `contradictions.py` and
`validate.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import orjson
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from tulle.policies.problems import Code, Path, Problem, Severity, did_you_mean, listed, path_text
from tulle.policies.resources.fields import allowed_at
from tulle.policies.resources.kinds import GROUPS, KINDS, NOT_YET, VERSIONS, Kind, Spec, kind_in
from tulle.policies.resources.meta import SERVER_SIDE, Envelope
from tulle.policies.yamlscalar import Json
from tulle.policies.yamltext import Tree, read_yaml

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Document:
    """One policy as written. `data` is its plain JSON, without what only a server writes."""

    kind: Kind
    namespace: str
    name: str
    data: Mapping[str, Json] = field(repr=False)
    resource: Spec = field(repr=False, compare=False)  # says what data says
    file: str = field(default="", compare=False)
    lines: Mapping[Path, int] = field(default_factory=dict, compare=False, repr=False)

    @property
    def title(self) -> str:
        """`VirtualService default/reviews`, as messages name it."""
        return f"{self.kind} {self.namespace}/{self.name}"

    def line(self, path: Path) -> int:
        """The line of `path`, or of the nearest thing around it; 0 when nothing is known."""
        return line_of(self.lines, path)

    def problem(
        self, code: Code, path: Path, message: str, severity: Severity = "error"
    ) -> Problem:
        """A problem of this document at `path`."""
        return Problem(code, severity, path_text(path), self.file, self.line(path), message)


@dataclass(frozen=True, slots=True)
class Parsed:
    """What a text held. Documents with errors are not among `documents`."""

    documents: tuple[Document, ...]
    problems: tuple[Problem, ...]


def parse(text: str, file: str = "") -> Parsed:
    """Reads YAML (or JSON) with any number of documents. Never raises for what is in `text`."""
    trees, faults = read_yaml(text)
    documents: list[Document] = []
    problems = [
        Problem(fault.code, "error", path_text(fault.path), file, fault.line, fault.message)
        for fault in faults
    ]
    for tree in trees:
        document, found = read_document(tree, file)
        problems += found
        if document is not None:
            documents.append(document)
    return Parsed(tuple(documents), tuple(sorted(problems, key=lambda p: p.line)))


def read_document(tree: Tree, file: str = "") -> tuple[Document | None, list[Problem]]:
    """One document of its JSON value, with all its problems; None when one of them is an error."""
    reader = _DocumentReader(tree, file)
    document = reader.read()
    failed = any(problem.severity == "error" for problem in reader.problems)
    return None if failed else document, reader.problems


def line_of(lines: Mapping[Path, int], path: Path) -> int:
    """The line of `path`, or of the nearest thing around it; 0 when nothing is known."""
    for length in range(len(path), -1, -1):
        if (line := lines.get(path[:length])) is not None:
            return line
    return 0


class _DocumentReader:
    def __init__(self, tree: Tree, file: str) -> None:
        self.problems: list[Problem] = []
        self._tree = tree
        self._file = file

    def read(self) -> Document | None:
        value = self._tree.value
        if not isinstance(value, dict):
            self._report(
                "schema", (), "a policy must be a mapping with apiVersion, kind, metadata, spec"
            )
            return None
        data = self._without_server_side(value)
        kind = self._kind(data)
        envelope = self._validate(Envelope, {k: v for k, v in data.items() if k != "spec"}, ())
        if kind is None:
            return None
        if "spec" not in data:
            self._report("schema", (), "the required field spec is missing")
            return None
        spec = self._validate(KINDS[kind], data["spec"], ("spec",))
        if spec is None or envelope is None:
            return None
        metadata = envelope.metadata
        return Document(
            kind, metadata.namespace, metadata.name, data, spec, self._file, self._tree.lines
        )

    def _report(self, code: Code, path: Path, message: str, severity: Severity = "error") -> None:
        line = line_of(self._tree.lines, path)
        self.problems.append(Problem(code, severity, path_text(path), self._file, line, message))

    def _without_server_side(self, value: dict[str, Json]) -> dict[str, Json]:
        data = {key: part for key, part in value.items() if key != "status"}
        if "status" in value:
            self._ignored(("status",))
        metadata = value.get("metadata")
        if isinstance(metadata, dict):
            for key in sorted(SERVER_SIDE & metadata.keys()):
                self._ignored(("metadata", key))
            data["metadata"] = {k: v for k, v in metadata.items() if k not in SERVER_SIDE}
        return data

    def _ignored(self, path: Path) -> None:
        message = "written by a server; ignored and not stored"
        self._report("ignored-field", path, message, "warning")

    def _kind(self, data: dict[str, Json]) -> Kind | None:
        api_version, kind = data.get("apiVersion"), data.get("kind")
        if not isinstance(api_version, str) or not isinstance(kind, str):
            return None  # the envelope's schema says so
        group, _, version = api_version.rpartition("/")
        if (known := kind_in(group, version, kind)) is not None:
            return known
        if (group, kind) in NOT_YET:
            self._report("not-supported-yet", ("kind",), f"{kind} is not supported yet")
        else:
            allowed = listed(f"{GROUPS[name]}/{VERSIONS[GROUPS[name]][0]} {name}" for name in KINDS)
            older = listed(
                f"{of}/{other}" for of, all_of in VERSIONS.items() for other in all_of[1:]
            )
            near = "" if kind in KINDS else did_you_mean(kind, KINDS)
            self._report(
                "unknown-kind",
                ("apiVersion",) if kind in KINDS else ("kind",),
                f'"{api_version[:80]} {kind[:80]}" is no policy.{near} Known: {allowed} '
                f"(also {older})",
            )
        return None

    def _validate(self, model: type[M], value: object, at: Path) -> M | None:
        try:
            return model.model_validate_json(orjson.dumps(value), strict=True)
        except ValidationError as error:
            for detail in error.errors(include_url=False):
                code, path, message = _explain(model, detail)
                self._report(code, (*at, *path), message)
            return None


def _explain(model: type[BaseModel], detail: ErrorDetails) -> tuple[Code, Path, str]:
    """An error of pydantic as code, path below `model` and a sentence that says what is allowed."""
    path: Path = tuple(part for part in detail["loc"] if part != "[key]")
    name = str(path[-1]) if path else ""
    context = detail.get("ctx", {})
    match detail["type"]:
        case "extra_forbidden":
            allowed = allowed_at(model, path[:-1])
            near = did_you_mean(name, allowed)
            return (
                "unknown-field",
                path,
                f'"{name}" is no field here.{near} Allowed: {listed(allowed)}',
            )
        case "missing":
            return "schema", path[:-1], f"the required field {name} is missing"
        case "literal_error":
            expected = str(context.get("expected", "")).replace("'", "")
            near = did_you_mean(str(detail["input"]), expected.replace(" or ", ", ").split(", "))
            return "schema", path, f"must be {expected}, not {_shown(detail['input'])}.{near}"
        case "contradiction":
            return "contradiction", path, detail["msg"]
        case "string_type":
            shown = _shown(detail["input"]) + _quote(detail)
            return "schema", path, f"must be a string, not {shown}"
        case kind if kind in _TYPES:
            return "schema", path, f"must be {_TYPES[kind]}, not {_shown(detail['input'])}"
        case _:
            return "schema", path, detail["msg"]


_TYPES = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}


def _quote(detail: ErrorDetails) -> str:
    value = detail["input"]
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return f'; quote it: "{text}"' if isinstance(value, bool | int | float) else ""


def _shown(value: object) -> str:
    match value:
        case None:
            return "null (remove the field or give a value)"
        case bool():
            return str(value).lower()
        case int() | float():
            return f"the number {value}"
        case str():
            return f'"{value[:80]}"'
        case list() | tuple():
            return "a list"
        case _:
            return "a mapping"
