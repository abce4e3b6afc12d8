"""Edits of headers as one pass over them: of requests on pairs, of responses on raw lines.

Several edits, a route's and then its destination's, become one: what a later one removes or sets
is dropped from what an earlier one added.
"""

from collections.abc import Iterable

from tulle.policies.config import AUTHORITY, HeaderEdits
from tulle.policies.decide.match import Headers
from tulle.policies.decide.plan import EditRequest, EditResponse


def compile_request_edits(edits: Iterable[HeaderEdits | None]) -> EditRequest | None:
    """The edits one after another; None when there is nothing to do."""
    dropped, added = _merged(edits)
    if not dropped:
        return (lambda headers: headers + added) if added else None

    def edit(headers: Headers) -> Headers:
        return [pair for pair in headers if pair[0] not in dropped] + added

    return edit


def compile_response_edits(edits: Iterable[HeaderEdits | None]) -> EditResponse | None:
    """As `compile_request_edits`, for lines without CRLF."""
    dropped, added = _merged(edits)
    lines = [b"%b: %b" % pair for pair in added]
    if not dropped:
        return (lambda given: given + lines) if lines else None

    def edit(given: list[bytes]) -> list[bytes]:
        kept = [line for line in given if line[: line.find(b":")].lower() not in dropped]
        return kept + lines

    return edit


def authority_of(edits: HeaderEdits | None) -> str:
    """The authority that edits of a request set; empty when they set none."""
    return dict(edits.set).get(AUTHORITY, "") if edits is not None else ""


def _merged(all_edits: Iterable[HeaderEdits | None]) -> tuple[frozenset[bytes], Headers]:
    """The names that are dropped and the headers that are added behind what is left."""
    dropped: set[bytes] = set()
    added: Headers = []
    for edits in all_edits:
        if edits is None:
            continue
        gone = {name.encode() for name in (*edits.remove, *(name for name, _ in edits.set))}
        dropped |= gone
        added = [pair for pair in added if pair[0] not in gone]
        pairs = (pair for pair in (*edits.set, *edits.add) if pair[0] != AUTHORITY)
        added += [(name.encode(), value.encode()) for name, value in pairs]
    return frozenset(dropped - {AUTHORITY.encode()}), added
