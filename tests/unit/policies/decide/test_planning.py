"""Plans and retries: made once, and only where something is asked for."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support import policy_strategies
from tests.support.policy_story import Request, tell
from tulle.policies.compile.world import compile_all
from tulle.policies.config import (
    DirectResponse,
    Edits,
    Fault,
    HeaderEdits,
    HttpMatch,
    OutboundConfig,
    RetryPolicy,
    Rewrite,
    Route,
    StringMatch,
    Target,
)
from tulle.policies.decide.client import Client
from tulle.policies.decide.plan import DEFAULT_RETRY, Plan, Retry
from tulle.policies.decide.planning import compile_plan, compile_retry
from tulle.policies.decide.route import compile_routes
from tulle.policies.world import World

ONE, TWO = Target("one", 1), Target("two", 1)
SET = Edits(request=HeaderEdits(set=(("x", "1"),)))


def test_a_plain_route_has_no_plan() -> None:
    route = Route("r", (), (ONE,), timeout_ms=5, retry=RetryPolicy(3))
    assert compile_plan(route, ONE) is None
    chosen = compile_routes([route], {"one": 1})(b"GET", b"/", b"", [], 0.0)
    assert chosen is not None and chosen.plan is None and chosen.retry.attempts == 3


def test_what_is_not_asked_for_is_not_in_it() -> None:
    plan = compile_plan(Route("r", (), (ONE,), fault=Fault(1500, 12.5)), ONE)
    assert plan == Plan(delay=1.5, delay_share=0.125)
    plan = compile_plan(Route("r", (), (ONE,), rewrite=Rewrite(authority="a")), ONE)
    assert plan == Plan(authority=b"a")


def test_one_plan_per_route_and_target_made_at_install() -> None:
    conditional = Route(
        "a",
        (HttpMatch(uri=StringMatch("prefix", "/a")),),
        (ONE, Target("two", 1, SET)),
        fault=Fault(abort_status=500, abort_percent=100),
    )
    chooser = compile_routes([conditional, Route("rest", (), (ONE,))], {"one": 1, "two": 2})
    plans = [chooser(b"GET", b"/a", b"", [], uniform) for uniform in (0.1, 0.2, 0.6, 0.9)]
    first, again, second, _ = (choice.plan if choice else None for choice in plans)
    assert first is again and first is not second
    assert first is not None and first.edit_request is None
    assert second is not None and second.edit_request is not None and second.abort_status == 500
    rest = chooser(b"GET", b"/", b"", [], 0.0)
    assert rest is not None and rest.plan is None


def test_an_answer_has_no_cluster_and_no_other_edits() -> None:
    route = Route(
        "r", (), (), direct=DirectResponse(200), edits=Edits(response=HeaderEdits(("a",)))
    )
    chooser = compile_routes([route], dict[str, int]())
    chosen = chooser(b"GET", b"/", b"", [], 0.0)
    assert chosen is not None and chosen.cluster is None and chosen.plan is not None
    assert chosen.plan.answer is not None and chosen.plan.edit_response is None
    assert chooser(b"GET", b"/x", b"", [], 0.9) is chosen


@pytest.mark.parametrize(
    ("policy", "retry"),
    [
        (None, DEFAULT_RETRY),
        (RetryPolicy(0), Retry(0, on_connect_failure=False, on_reset=False)),
        (RetryPolicy(0, 5, ("5xx",), (500,)), Retry(0, None, False, False)),
        (RetryPolicy(1), Retry(1, None, False, False)),
        (RetryPolicy(2, 1500, ("connect-failure",)), Retry(2, 1.5, True, False)),
        (RetryPolicy(1, None, ("reset",)), Retry(1, None, True, True)),
        (RetryPolicy(1, None, ("reset-before-request",)), Retry(1, None, True, False)),
        (RetryPolicy(1, None, ("refused-stream",)), Retry(1, None, False, False)),
        (
            RetryPolicy(1, None, ("gateway-error",), (418,)),
            Retry(1, None, True, True, frozenset((418, 502, 503, 504))),
        ),
        (
            RetryPolicy(1, None, ("5xx", "retriable-4xx")),
            Retry(1, None, True, True, frozenset((409, *range(500, 600)))),
        ),
    ],
)
def test_retries(policy: RetryPolicy | None, retry: Retry) -> None:
    assert compile_retry(policy) == retry


CLIENT = Client("shop", (("app", "web"),))
REQUESTS = [
    Request(b"GET", b"/a/b?q=/b", b"a:80", [(b"x", b"/a"), (b"x-a", b"0")], 80),
    Request(b"OPTIONS", b"*", b"", [], 9080),
    Request(b"PUT", b"/\xff?\xff", b"\xff", [(b"z", b"\xff")], 80),
]


@given(policy_strategies.worlds, st.sampled_from(REQUESTS), st.floats(0, 1, exclude_max=True))
@settings(max_examples=60, deadline=None)
def test_whatever_policies_say_a_request_is_decided(
    world: World, request: Request, uniform: float
) -> None:
    for config in compile_all(world).values():
        if not isinstance(config, OutboundConfig):
            continue
        clusters = {cluster.name: cluster for cluster in config.clusters}
        for port in config.ports:
            choose = compile_routes(port.routes, clusters, CLIENT)
            asked = (request.method, request.path, request.authority, request.headers)
            choice = choose(*asked, uniform)
            answers = choice is not None and choice.plan is not None and choice.plan.answer
            assert choice is None or (choice.cluster is None) == bool(answers)
            if choice is not None and choice.plan is not None and choice.plan.rewrite_path:
                assert choice.plan.rewrite_path(request.path).startswith(b"/")
            if b"\xff" not in request.path:
                assert tell(choice, request)
