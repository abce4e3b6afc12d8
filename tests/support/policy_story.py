"""What happens to a request, told in words: for tests that state behaviour.

    "ratings v1; delay 7 s"      "reviews; path /v1/x?q=1; authority reviews.shop"
    "301 location: https://a/x"  "reviews; request end-user: jason, x-team: blue"

Shares below 1 are told as `for 50 %`. The request's and the response's headers are those that are
sent on, all of them, when the policy edits them.
"""

from dataclasses import dataclass
from typing import Literal

from tulle.policies import reasons
from tulle.policies.config import Cluster
from tulle.policies.decide.match import Headers
from tulle.policies.decide.plan import Asked, LocalAnswer, Plan, Retry
from tulle.policies.decide.route import Choice

RESPONSE = [b"Server: app", b"X-Old: 1"]
"""The header lines of every response in these stories."""


@dataclass(frozen=True)
class Request:
    """A request as its proxy has read it."""

    method: bytes
    path: bytes
    authority: bytes
    headers: Headers
    port: int
    scheme: Literal["http", "https"] = "http"


def tell(choice: Choice[Cluster] | None, request: Request) -> str:
    """Where the request goes and what is done to it, parted by semicolons."""
    parts = [destination(choice, request)]
    if choice is not None and choice.plan is not None:
        parts += _told(choice.plan, request)
    return "; ".join(parts)


def destination(choice: Choice[Cluster] | None, request: Request) -> str:
    """`host subset`, `status reason`, or the policy's own answer."""
    if choice is None:
        return told_reason(reasons.ROUTE_NOT_FOUND)
    if choice.cluster is None:
        assert choice.plan is not None and choice.plan.answer is not None
        asked = Asked(request.scheme, request.authority, request.path, request.port)
        return _told_answer(choice.plan.answer(asked))
    cluster = choice.cluster
    if cluster.broken:
        return told_reason(reasons.REASONS[cluster.broken])
    host = cluster.host.removesuffix(".svc.cluster.local").removesuffix(".default")
    port = "" if cluster.port in (80, 9080) else f":{cluster.port}"
    return f"{host}{port} {cluster.subset}".strip()


def told_reason(reason: reasons.Reason) -> str:
    """`404 route_not_found`."""
    return f"{reason.status} {reason.name}"


def told_retry(retry: Retry) -> str:
    """`2 more tries of 1 s on connect failure, reset, 503; idempotent alone`."""
    if retry.attempts == 0:
        return "no more tries"
    on = ["connect failure"] * retry.on_connect_failure + ["reset"] * retry.on_reset
    codes = sorted(retry.statuses)
    on += ["500-599"] if codes == list(range(500, 600)) else [str(code) for code in codes]
    per_try = "" if retry.per_try is None else f" of {retry.per_try:g} s"
    careful = "; idempotent alone" if retry.idempotent_only else ""
    return f"{retry.attempts} more tries{per_try} on {', '.join(on) or 'nothing'}{careful}"


def _told(plan: Plan, request: Request) -> list[str]:
    parts = []
    if plan.delay:
        parts.append(f"delay {plan.delay:g} s{_share(plan.delay_share)}")
    if plan.abort_status:
        parts.append(f"abort {plan.abort_status}{_share(plan.abort_share)}")
    if plan.rewrite_path is not None:
        parts.append(f"path {plan.rewrite_path(request.path).decode()}")
    if plan.authority:
        parts.append(f"authority {plan.authority.decode()}")
    if plan.edit_request is not None:
        before = list(request.headers)
        lines = [b"%b: %b" % pair for pair in plan.edit_request(request.headers)]
        assert request.headers == before, "an edit changed its argument"
        parts.append(f"request {_joined(lines)}")
    if plan.edit_response is not None:
        parts.append(f"response {_joined(plan.edit_response(list(RESPONSE)))}")
    return parts


def _share(share: float) -> str:
    return "" if share == 1 else f" for {share * 100:g} %"


def _told_answer(answer: LocalAnswer) -> str:
    headers = _joined([b"%b: %b" % pair for pair in answer.headers])
    body = f"({answer.body.decode()})" if answer.body else ""
    return " ".join(part for part in (str(answer.status), headers, body) if part)


def _joined(lines: list[bytes]) -> str:
    return b", ".join(lines).decode()
