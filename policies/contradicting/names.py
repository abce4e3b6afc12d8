"""Checks of names: of headers and gateways."""

import re
from collections.abc import Iterable, Iterator

from tulle.policies.parse import Document
from tulle.policies.problems import Path, Problem
from tulle.policies.resources.meta import is_dns_label

_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,256}")


def check_gateway_names(document: Document, path: Path, names: Iterable[str]) -> Iterator[Problem]:
    """Each is `mesh` or may be the name of a Gateway."""
    for position, name in enumerate(names):
        namespace, slash, rest = name.rpartition("/")
        parts_ok = all(is_dns_label(part) for part in rest.split("."))
        if not parts_ok or (slash and not is_dns_label(namespace)):
            message = "must be mesh, the name of a Gateway, or namespace/name"
            yield document.problem("schema", (*path, position), message)


def is_header_name(name: str) -> bool:
    """Whether `name` is a token of HTTP (RFC 9110, 5.6.2)."""
    return _TOKEN.fullmatch(name) is not None


def repeated_ignoring_case(names: Iterable[str]) -> Iterator[str]:
    """Each name that an earlier one equals but for case."""
    seen: set[str] = set()
    for name in names:
        if name.lower() in seen:
            yield name
        seen.add(name.lower())
