"""What a rule does, as config."""

import pytest

from tests.support.policy_mesh import Mesh, virtual_service
from tulle.policies.compile.actions import matched_prefix, milliseconds
from tulle.policies.config import (
    DirectResponse,
    Edits,
    Fault,
    HeaderEdits,
    Redirect,
    RetryPolicy,
    Rewrite,
    Route,
)
from tulle.policies.resources.networking.common import StringMatch


def route(rule: str) -> Route:
    """The only route of a rule."""
    [compiled] = Mesh(virtual_service(f"- {{{rule}}}")).outbound("reviews").ports[0].routes
    return compiled


ROUTE = "route: [{destination: {host: reviews}}]"
CODES = "retriable-status-codes"


@pytest.mark.parametrize(
    ("retries", "policy"),
    [
        ("{}", RetryPolicy(0)),
        ("{attempts: 2}", RetryPolicy(2, None, ("connect-failure", "reset", CODES), (503,))),
        ("{attempts: 2, perTryTimeout: 1.5s, retryOn: 5xx}", RetryPolicy(2, 1500, ("5xx",))),
        ("{attempts: 1, retryOn: '503,500'}", RetryPolicy(1, None, (CODES,), (500, 503))),
    ],
)
def test_retries(retries: str, policy: RetryPolicy) -> None:
    assert route(f"{ROUTE}, retries: {retries}").retry == policy


def test_what_is_not_written_is_not_there() -> None:
    plain = route(ROUTE)
    assert plain == Route(plain.name, (), plain.targets, source=plain.source)
    assert [target.edits for target in plain.targets] == [None]


@pytest.mark.parametrize(
    ("fault", "compiled"),
    [
        ("delay: {fixedDelay: 7s, percentage: {value: 100}}", Fault(7000, 100.0)),
        ("delay: {fixedDelay: 7s, percent: 3}", Fault(7000, 3.0)),
        (
            "abort: {httpStatus: 500, percentage: {value: 0.5}}",
            Fault(abort_status=500, abort_percent=0.5),
        ),
        ("delay: {fixedDelay: 7s}", None),
        ("delay: {fixedDelay: 7s}, abort: {httpStatus: 500, percentage: {value: 0}}", None),
    ],
)
def test_faults(fault: str, compiled: Fault | None) -> None:
    assert route(f"{ROUTE}, fault: {{{fault}}}").fault == compiled


@pytest.mark.parametrize(
    ("rewrite", "compiled"),
    [
        ("uri: /x/", Rewrite("prefix", "/", "/x/")),
        ("authority: a", Rewrite(authority="a")),
        ("uri: /x/, authority: a", Rewrite("prefix", "/", "/x/", "a")),
        ("uriRegexRewrite: {match: a+, rewrite: b}", Rewrite("regex", "a+", "b")),
    ],
)
def test_rewrites(rewrite: str, compiled: Rewrite) -> None:
    assert route(f"{ROUTE}, rewrite: {{{rewrite}}}").rewrite == compiled


@pytest.mark.parametrize(
    ("redirect", "compiled"),
    [
        ("uri: /x", Redirect(path="/x")),
        ("prefixRewrite: /x/", Redirect(path="/x/", prefix="/")),
        (
            "authority: a, scheme: https, port: 444",
            Redirect(authority="a", scheme="https", port=444),
        ),
        (
            "derivePort: FROM_REQUEST_PORT, redirectCode: 307",
            Redirect(307, derive_port="FROM_REQUEST_PORT"),
        ),
    ],
)
def test_redirects(redirect: str, compiled: Redirect) -> None:
    answer = route(f"redirect: {{{redirect}}}")
    assert (answer.redirect, answer.targets) == (compiled, ())


@pytest.mark.parametrize(
    ("direct", "compiled"),
    [
        ("status: 200", DirectResponse(200)),
        ("status: 418, body: {string: hi}", DirectResponse(418, "aGk=")),
        ("status: 200, body: {bytes: aGk=}", DirectResponse(200, "aGk=")),
        ("status: 200, body: {string: 'ä'}", DirectResponse(200, "w6Q=")),
    ],
)
def test_direct_responses(direct: str, compiled: DirectResponse) -> None:
    assert route(f"directResponse: {{{direct}}}").direct == compiled


def test_edits_are_sorted_in_lower_case() -> None:
    edits = "request: {set: {X-B: 50%%, x-a: a, Host: h}, remove: [X-Z, x-y, x-z]}, response: {}"
    request = HeaderEdits(("x-y", "x-z"), ((":authority", "h"), ("x-a", "a"), ("x-b", "50%")))
    assert route(f"{ROUTE}, headers: {{{edits}}}").edits == Edits(request)
    assert route(f"{ROUTE}, headers: {{}}").edits is None


def test_the_prefix_that_a_match_has() -> None:
    assert matched_prefix(None) == "/"
    assert matched_prefix(StringMatch(prefix="/a")) == "/a"
    assert matched_prefix(StringMatch(exact="/a")) is None


def test_durations_in_milliseconds() -> None:
    assert milliseconds(None) is None
    assert milliseconds("1m1.5s") == 61_500
