"""The conditions of a VirtualService's rules."""

from collections.abc import Iterator, Mapping

from tulle.policies.contradicting.names import (
    check_gateway_names,
    is_header_name,
    repeated_ignoring_case,
)
from tulle.policies.parse import Document
from tulle.policies.problems import Path, Problem
from tulle.policies.resources.meta import is_dns_label
from tulle.policies.resources.networking.common import StringMatch
from tulle.policies.resources.networking.virtual_service import HttpMatchRequest

_PSEUDO = frozenset(
    (":authority", ":method", ":path", ":scheme", "authority", "method", "scheme", "uri")
)


def check_match(document: Document, path: Path, match: HttpMatchRequest) -> Iterator[Problem]:
    """Everything that a match says and can't mean."""
    for name in ("uri", "method", "authority", "scheme"):
        value: StringMatch | None = getattr(match, name)
        if value is not None and (value == StringMatch() or value.regex == "*"):
            message = "must have one of exact, prefix, regex; to match everything remove it"
            yield document.problem("schema", (*path, name), message)
    if match.uri is not None:
        yield from _uri(document, (*path, "uri"), match.uri)
    yield from _header_names(document, (*path, "headers"), match.headers)
    yield from _header_names(document, (*path, "withoutHeaders"), match.without_headers)
    if "" in match.query_params:
        yield document.problem("schema", (*path, "queryParams"), "a parameter must have a name")
    if match.port is not None and not 1 <= match.port <= 65535:
        yield document.problem("schema", (*path, "port"), "must be from 1 to 65535")
    if match.source_namespace and not is_dns_label(match.source_namespace):
        yield document.problem("schema", (*path, "sourceNamespace"), "must name one namespace")
    yield from check_gateway_names(document, (*path, "gateways"), match.gateways)


def _uri(document: Document, path: Path, uri: StringMatch) -> Iterator[Problem]:
    if uri.prefix == "":
        message = "must not be empty; to match everything remove uri"
        yield document.problem("schema", (*path, "prefix"), message)
        return
    for name, value in {"exact": uri.exact, "prefix": uri.prefix}.items():
        # OPTIONS may ask for * instead of a path.
        if value is not None and not value.startswith("/") and value != "*":
            message = "never holds: every path begins with /"
            yield document.problem("contradiction", (*path, name), message, "warning")


def _header_names(
    document: Document, path: Path, headers: Mapping[str, StringMatch]
) -> Iterator[Problem]:
    for header in headers:
        where = (*path, header)
        if header.lower() in _PSEUDO:
            field = header.lower().removeprefix(":").replace("path", "uri")
            message = f"{header} is no header; use the field {field} of the match"
            yield document.problem("contradiction", where, message)
        elif not is_header_name(header):
            yield document.problem("schema", where, "is not a valid name of a header")
    for header in repeated_ignoring_case(headers):
        message = f"{header} is given twice; the names of headers have no case"
        yield document.problem("duplicate", (*path, header), message)
