"""A user's mistakes as values: all of them, each with file, line, path and what is allowed.

Made by `parse`, `supported` and `validate`; shown by the command line, sent by the policy API.
An exception is for mistakes of the program, never for those of a user.
"""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning"]

Code = Literal[
    "yaml",  # the text is not YAML, or YAML that JSON can't say
    "schema",  # a field has the wrong type or value, or a required one is missing
    "unknown-field",  # a field that the kind does not have
    "unknown-kind",  # an apiVersion and kind that is no policy
    "not-supported-yet",  # valid, known, and not executed by this version
    "contradiction",  # fields that can't be meant together
    "missing-reference",  # names a host, subset or gateway that does not exist (yet)
    "conflict",  # another policy already decides this
    "duplicate",  # said twice
    "ignored-field",  # accepted and not stored: what a server wrote
    "no-such-policy",  # asked to delete what is not there
]

Path = tuple[str | int, ...]
"""Where in a document: `("spec", "http", 0, "route")`."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake. `line` counts from 1, 0 when unknown; `path` reads as `spec.http[0].route`."""

    code: Code
    severity: Severity
    path: str
    file: str
    line: int
    message: str

    def __str__(self) -> str:
        """As compilers say it: `reviews.yaml:7: error: spec.hosts: message [code]`."""
        where = ":".join(str(part) for part in (self.file, self.line) if part)
        return ": ".join(
            part
            for part in (where, self.severity, self.path, f"{self.message} [{self.code}]")
            if part
        )


_COMPARED = 300
"""Among more names than these no near miss is looked for: it would take milliseconds each."""


def has_errors(problems: Iterable[Problem]) -> bool:
    """Whether an apply with these problems is refused."""
    return any(problem.severity == "error" for problem in problems)


def path_text(path: Path) -> str:
    """`("spec", "http", 0)` -> `spec.http[0]`; keys that are no plain words are quoted."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif part and all(c.isalnum() or c in "_-" for c in part):
            text += f".{part}" if text else part
        else:
            text += f'["{part}"]'
    return text


def did_you_mean(word: str, allowed: Iterable[str]) -> str:
    """` Did you mean "hosts"?` for a near miss, else nothing: to be put behind a sentence."""
    names = {name.lower(): name for name in allowed}
    if len(names) > _COMPARED:
        return ""
    near = difflib.get_close_matches(word.lower()[:80], names, n=1, cutoff=0.6)
    return f' Did you mean "{names[near[0]]}"?' if near else ""


def listed(names: Iterable[str]) -> str:
    """`a, b, c` in the order given; `nothing` for none."""
    return ", ".join(names) or "nothing"
