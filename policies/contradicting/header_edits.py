"""Edits of headers: names that may be edited, values that may be sent."""

import re
from collections.abc import Iterator, Mapping

from tulle.policies.contradicting.authority import check_authority
from tulle.policies.contradicting.names import is_header_name, repeated_ignoring_case
from tulle.policies.parse import Document
from tulle.policies.problems import Path, Problem
from tulle.policies.resources.networking.http_action import HeaderOperations, Headers

_AUTHORITY = ("host", ":authority")
_FRAMING = frozenset(
    (
        "connection",
        "content-length",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    )
)
"""Of the connection, not of the message: written wrong, they say where a message ends."""
_RESERVED = "x-tulle-"
_VALUE = re.compile(r"[\t\x20-\x7e]*")
_LONGEST = 16_384
_OPERATOR = re.compile(r"%[A-Z][A-Z0-9_]*(?:\([^)]*\))?(?::[0-9]+)?%")


def check_headers(document: Document, path: Path, headers: Headers | None) -> Iterator[Problem]:
    """Everything that these edits say and can't mean."""
    if headers is None:
        return
    if headers.request is not None:
        yield from _operations(document, (*path, "request"), headers.request, True)
    if headers.response is not None:
        yield from _operations(document, (*path, "response"), headers.response, False)


def _operations(
    document: Document, path: Path, operations: HeaderOperations, of_request: bool
) -> Iterator[Problem]:
    for position, name in enumerate(operations.remove):
        yield from _name(document, (*path, "remove", position), name)
    yield from _pairs(document, (*path, "set"), operations.set, of_request)
    yield from _pairs(document, (*path, "add"), operations.add, False)


def _pairs(
    document: Document, path: Path, headers: Mapping[str, str], may_set_authority: bool
) -> Iterator[Problem]:
    for name, value in headers.items():
        where = (*path, name)
        if may_set_authority and name.lower() in _AUTHORITY:
            yield from check_authority(document, where, value)
            continue
        yield from _name(document, where, name)
        yield from _value(document, where, value)
    same = [":authority" if name.lower() == "host" else name for name in headers]
    for name in repeated_ignoring_case(same):
        message = f"{name} is given twice; the names of headers have no case"
        if name == ":authority":
            message = "host and :authority mean the same; give only one"
        yield document.problem("duplicate", path, message)


def _name(document: Document, path: Path, name: str) -> Iterator[Problem]:
    lower = name.lower()
    if lower in _AUTHORITY:
        message = f"{name} can only be set, and only of requests (or use rewrite.authority)"
        yield document.problem("contradiction", path, message)
    elif lower in _FRAMING or lower.startswith(_RESERVED):
        message = f"{name} is written by the proxies alone; it can't be edited"
        yield document.problem("contradiction", path, message)
    elif not is_header_name(name):
        yield document.problem("schema", path, "is not a valid name of a header")


def _value(document: Document, path: Path, value: str) -> Iterator[Problem]:
    if not _VALUE.fullmatch(value) or len(value) > _LONGEST:
        message = f"must be visible ASCII, spaces and tabs, at most {_LONGEST} characters"
        yield document.problem("schema", path, message)
    rest = value.replace("%%", "")
    if (operator := _OPERATOR.search(rest)) is not None:
        message = f"{operator[0][:80]} is not supported yet; supported: plain text, %% for %"
        yield document.problem("not-supported-yet", path, message)
    elif "%" in rest:
        yield document.problem("schema", path, "a percent sign must be written %%")
