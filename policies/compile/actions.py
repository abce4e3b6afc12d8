"""What a rule does besides choosing a destination, as config: retries, faults, rewrites, answers.

Counterparts: `routes.py`, which asks; `decide/planning.py`, which makes closures of it. What is
given here has passed `contradictions`.
"""

import base64
from collections.abc import Mapping

from tulle.policies.config import (
    AUTHORITY,
    DirectResponse,
    Edits,
    Fault,
    HeaderEdits,
    Redirect,
    RetryPolicy,
    Rewrite,
)
from tulle.policies.resources.base import MILLISECOND, nanoseconds
from tulle.policies.resources.networking import http_action as written
from tulle.policies.resources.networking.common import Percent, StringMatch
from tulle.policies.retry_on import DEFAULT_RETRY_ON, split_retry_on


def milliseconds(duration: str | None) -> int | None:
    """A duration of a document, None when it is not given."""
    return None if duration is None else nanoseconds(duration) // MILLISECOND


def compile_retry(retries: written.Retries | None) -> RetryPolicy | None:
    """Written without `retryOn` it has Istio's conditions; None: the mesh's default holds."""
    if retries is None:
        return None
    attempts = retries.attempts or 0
    if attempts == 0:
        return RetryPolicy(0)
    conditions = split_retry_on(retries.retry_on or DEFAULT_RETRY_ON)
    return RetryPolicy(
        attempts, milliseconds(retries.per_try_timeout), conditions.names, conditions.statuses
    )


def compile_fault(fault: written.Fault | None) -> Fault | None:
    """None also when it concerns no request."""
    if fault is None:
        return None
    delay, abort = fault.delay, fault.abort
    delay_percent = _delay_percent(delay) if delay is not None else 0.0
    abort_percent = _percent(abort.percentage) if abort is not None else 0.0
    compiled = Fault(
        delay_ms=(milliseconds(delay.fixed_delay) or 0) if delay and delay_percent else 0,
        delay_percent=delay_percent,
        abort_status=(abort.http_status or 0) if abort and abort_percent else 0,
        abort_percent=abort_percent,
    )
    return None if compiled == Fault() else compiled


def _delay_percent(delay: written.FaultDelay) -> float:
    """`percent` is the older field; `percentage` counts before it."""
    return float(delay.percent or 0) if delay.percentage is None else _percent(delay.percentage)


def _percent(percentage: Percent | None) -> float:
    return (percentage.value or 0.0) if percentage is not None else 0.0


def compile_rewrite(rewrite: written.Rewrite | None, uri: StringMatch | None) -> Rewrite | None:
    """The rewrite of requests whose path was matched by `uri`; None: nothing is to be changed."""
    if rewrite is None:
        return None
    authority = rewrite.authority or ""
    if rewrite.uri_regex_rewrite is not None:
        regex = rewrite.uri_regex_rewrite
        return Rewrite("regex", regex.match or "", regex.rewrite or "", authority)
    if rewrite.uri:
        prefix = matched_prefix(uri)
        if prefix is None:
            return Rewrite("full", "", rewrite.uri, authority)
        return Rewrite("prefix", prefix, rewrite.uri, authority)
    return Rewrite(authority=authority) if authority else None


def compile_redirect(redirect: written.Redirect | None, uri: StringMatch | None) -> Redirect | None:
    """The redirect of requests whose path was matched by `uri`."""
    if redirect is None:
        return None
    prefix = matched_prefix(uri) if redirect.prefix_rewrite else None
    return Redirect(
        code=redirect.redirect_code or 301,
        path=redirect.uri or redirect.prefix_rewrite or "",
        prefix=prefix or "",
        authority=redirect.authority or "",
        scheme=redirect.scheme or "",
        port=redirect.port or 0,
        derive_port=redirect.derive_port or "",
    )


def matched_prefix(uri: StringMatch | None) -> str | None:
    """What a rewrite of a prefix replaces; None: exact and regex matches take the whole path.

    A rule that asks for no path has Envoy's prefix `/`.
    """
    if uri is None:
        return "/"
    return uri.prefix


def compile_direct(direct: written.DirectResponse | None) -> DirectResponse | None:
    """An answer of the rule's own."""
    if direct is None:
        return None
    body = b""
    if direct.body is not None:
        body = (direct.body.string or "").encode() or base64.b64decode(direct.body.bytes or "")
    return DirectResponse(direct.status, base64.b64encode(body).decode())


def compile_edits(headers: written.Headers | None) -> Edits | None:
    """None when nothing is edited."""
    if headers is None:
        return None
    edits = Edits(_operations(headers.request), _operations(headers.response))
    return None if edits == Edits() else edits


def _operations(operations: written.HeaderOperations | None) -> HeaderEdits | None:
    if operations is None:
        return None
    edits = HeaderEdits(
        remove=tuple(sorted({name.lower() for name in operations.remove})),
        set=_pairs(operations.set),
        add=_pairs(operations.add),
    )
    return None if edits == HeaderEdits() else edits


def _pairs(headers: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Names as config has them; in values `%%` stands for a percent sign, as in Envoy."""
    return tuple(sorted((_name(name), value.replace("%%", "%")) for name, value in headers.items()))


def _name(name: str) -> str:
    return AUTHORITY if name.lower() == "host" else name.lower()
