"""Route and target -> `Plan` and `Retry`, once, when config is installed.

Counterparts: `plan.py`, their types; `route.py`, which puts them into its choices.
"""

from tulle.policies.config import Edits, Fault, HeaderEdits, RetryPolicy, Route, Target
from tulle.policies.decide.answers import Answer, compile_direct, compile_redirect
from tulle.policies.decide.headers import (
    authority_of,
    compile_request_edits,
    compile_response_edits,
)
from tulle.policies.decide.plan import DEFAULT_RETRY, Plan, Retry
from tulle.policies.decide.rewrites import compile_path_rewrite

_NO_FAULT = Fault()
_NOTHING = Plan()
_NO_RETRY = Retry(0, on_connect_failure=False, on_reset=False)
_STATUSES = {
    "5xx": range(500, 600),
    "gateway-error": range(502, 505),
    "retriable-4xx": range(409, 410),
}
_ON_RESET = frozenset(("reset", "5xx", "gateway-error"))
_ON_CONNECT_FAILURE = _ON_RESET | {"connect-failure", "reset-before-request"}


def compile_plan(route: Route, target: Target | None = None) -> Plan | None:
    """What is done with requests of `route` that go to `target` (None: the route answers).

    None when there is nothing to do but to send them.
    """
    fault = route.fault or _NO_FAULT
    answer = _answer(route)
    # The answer holds the edits of its headers.
    edits = [route.edits, target.edits if target is not None else None] if answer is None else []
    plan = Plan(
        delay=fault.delay_ms / 1000,
        delay_share=fault.delay_percent / 100,
        abort_status=fault.abort_status,
        abort_share=fault.abort_percent / 100,
        answer=answer,
        rewrite_path=compile_path_rewrite(route.rewrite),
        authority=_authority(route, target).encode(),
        edit_request=compile_request_edits(_request(it) for it in edits),
        edit_response=compile_response_edits(_response(it) for it in edits),
    )
    return None if plan == _NOTHING else plan


def compile_retry(policy: RetryPolicy | None) -> Retry:
    """The conditions as the proxy asks for them; refused streams are of HTTP/2 alone.

    Envoy counts a reset as the 5xx that the client would get, and so retries it on `5xx` and
    `gateway-error`; `reset` includes connect failures; `reset-before-request` is when nothing was
    sent yet, which is a connect failure here.
    """
    if policy is None:
        return DEFAULT_RETRY
    if policy.attempts == 0:
        return _NO_RETRY
    on = set(policy.on)
    statuses = set(policy.statuses)
    statuses.update(*(_STATUSES[name] for name in on & _STATUSES.keys()))
    return Retry(
        attempts=policy.attempts,
        per_try=None if policy.per_try_timeout_ms is None else policy.per_try_timeout_ms / 1000,
        on_connect_failure=not on.isdisjoint(_ON_CONNECT_FAILURE),
        on_reset=not on.isdisjoint(_ON_RESET),
        statuses=frozenset(statuses),
    )


def _answer(route: Route) -> Answer | None:
    if route.redirect is not None:
        return compile_redirect(route.redirect, _response(route.edits))
    if route.direct is not None:
        return compile_direct(route.direct, _response(route.edits))
    return None


def _authority(route: Route, target: Target | None) -> str:
    """The destination's edit before the rewrite, the rewrite before the route's edit."""
    of_target = authority_of(_request(target.edits)) if target is not None else ""
    rewritten = route.rewrite.authority if route.rewrite is not None else ""
    return of_target or rewritten or authority_of(_request(route.edits))


def _request(edits: Edits | None) -> HeaderEdits | None:
    return edits.request if edits is not None else None


def _response(edits: Edits | None) -> HeaderEdits | None:
    return edits.response if edits is not None else None
