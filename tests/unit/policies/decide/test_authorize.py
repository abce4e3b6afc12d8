"""The authorizer as closures: equal to a naive reading, and nothing where nothing is asked."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support import authorization_oracle as oracle
from tests.support.authorization_oracle import PLAIN, ROOT, A, B, Request
from tulle.policies.config import (
    AuthorizationConfig,
    AuthorizationRule,
    Condition,
    InboundConfig,
    OperationMatch,
    SourceMatch,
)
from tulle.policies.decide.authorize import (
    REMEMBERED,
    REMEMBERED_BYTES,
    Authorizer,
    Caller,
    Denial,
    compile_authorizer,
)
from tulle.policies.decide.rules import compile_rule

LABELS = (("app", "a"),)
GET = Request("GET", "/", "a")


def rule(
    name: str = "rules[0]",
    *,
    sources: Sequence[SourceMatch] = (),
    operations: Sequence[OperationMatch] = (),
) -> AuthorizationRule:
    return AuthorizationRule(name, tuple(sources), tuple(operations))


def allow(*rules: AuthorizationRule, name: str = "x") -> AuthorizationConfig:
    return AuthorizationConfig(f"AuthorizationPolicy/default/{name}", (), "ALLOW", rules)


def deny(*rules: AuthorizationRule, name: str = "x") -> AuthorizationConfig:
    return AuthorizationConfig(f"AuthorizationPolicy/default/{name}", (), "DENY", rules)


FROM_A = SourceMatch(principals=(A.principal,))
GETS = OperationMatch(methods=("GET",))
ON_81 = OperationMatch(ports=("81",))
ON_80 = OperationMatch(ports=(str(A.port),))


def authorizer(*policies: AuthorizationConfig) -> Authorizer:
    made = compile_authorizer([InboundConfig("default", (), policies)], ROOT, "default", LABELS)
    assert made is not None
    return made


def ask(made: Authorizer, caller: Caller, request: Request = GET) -> Denial | None:
    bound = made.bind(caller)
    return None if bound is None else bound(*request.arguments())


@given(oracle.configs, oracle.callers, oracle.requests)
@settings(max_examples=120)
def test_what_is_allowed_is_what_a_naive_reading_allows(
    configs: list[InboundConfig], caller: Caller, request: Request
) -> None:
    made = compile_authorizer(configs, ROOT, "default", LABELS)
    denial = None if made is None else ask(made, caller, request)
    assert (denial is None) == oracle.allowed(configs, LABELS, caller, request)
    if denial is not None and denial.policy:
        named = [
            written
            for config in configs
            for policy in config.policies
            if (policy.source, policy.action) == (denial.policy, "DENY")
            for written in policy.rules
            if written.name == denial.rule
        ]
        assert any(oracle.holds(written, caller, request) for written in named)


@given(oracle.configs, oracle.callers, st.lists(oracle.requests, min_size=1, max_size=6))
@settings(max_examples=60)
def test_what_a_connection_asked_before_decides_nothing(
    configs: list[InboundConfig], caller: Caller, requests: list[Request]
) -> None:
    made = compile_authorizer(configs, ROOT, "default", LABELS)
    bound = None if made is None else made.bind(caller)
    for request in [*requests, *reversed(requests)]:
        fresh = None if made is None else ask(made, caller, request)
        assert (None if bound is None else bound(*request.arguments())) == fresh


def test_a_connection_remembers_a_bounded_number_of_decisions() -> None:
    paths = OperationMatch(paths=("/a*",))
    bound = authorizer(allow(rule(operations=[paths]))).bind(A)
    assert bound is not None
    for _ in range(2):
        for number in range(3 * REMEMBERED):
            assert bound(b"GET", b"/a%d" % number, b"a", []) is None
            assert bound(b"GET", b"/b%d" % number, b"a", []) is not None
        long = b"/a" + b"x" * REMEMBERED_BYTES
        assert bound(b"GET", long, b"a", []) is None


def test_without_a_policy_that_selects_the_workload_there_is_no_authorizer() -> None:
    other = AuthorizationConfig("x", (("app", "b"),), "DENY", (rule(),))
    for policies in ((), (other,), (deny(),)):
        configs = [InboundConfig("default", (), policies), InboundConfig("shop", (), (allow(),))]
        assert compile_authorizer(configs, ROOT, "default", LABELS) is None


@pytest.mark.parametrize(
    ("policies", "caller"),
    [
        ((allow(rule()),), PLAIN),
        ((allow(rule(sources=[FROM_A])),), A),
        ((deny(rule(sources=[FROM_A])),), B),
        ((deny(rule(operations=[ON_81])), allow(rule(sources=[FROM_A]))), A),
        ((allow(rule(operations=[ON_81, GETS])),), B),
    ],
)
def test_a_connection_whose_requests_are_all_allowed_asks_nothing_of_them(
    policies: tuple[AuthorizationConfig, ...], caller: Caller
) -> None:
    assert authorizer(*policies).bind(caller) is None


def test_a_connection_whose_requests_are_all_denied_has_one_answer() -> None:
    bound = authorizer(allow(rule(sources=[FROM_A], operations=[GETS]))).bind(B)
    assert bound is not None
    first = bound(b"GET", b"/", b"a", [])
    assert first is not None and first is bound(b"POST", b"/x", b"b", [])
    assert (first.policy, first.rule) == ("", "")


def test_the_first_rule_that_denies_is_named() -> None:
    posts = OperationMatch(methods=("POST",))
    made = authorizer(
        deny(rule("rules[0]", operations=[posts]), rule("rules[1]", operations=[GETS])),
        deny(rule(), name="y"),
    )
    found = [ask(made, A, Request(method, "/", "a")) for method in ("GET", "POST", "PUT")]
    assert [(d.policy, d.rule) for d in found if d] == [
        ("AuthorizationPolicy/default/x", "rules[1]"),
        ("AuthorizationPolicy/default/x", "rules[0]"),
        ("AuthorizationPolicy/default/y", "rules[0]"),
    ]


def test_paths_are_normalised_only_where_a_rule_reads_them() -> None:
    by_path = authorizer(deny(rule(operations=[OperationMatch(paths=("/admin",))])))
    assert ask(by_path, A, Request("GET", "/x/%2e./admin?y", "a")) is not None
    assert ask(by_path, A, Request("GET", "/x", "a")) is None
    assert compile_rule(rule(operations=[GETS])).reads_path is False
    assert compile_rule(rule(operations=[OperationMatch(not_paths=("/a",))])).reads_path is True


def test_a_condition_that_nobody_can_decide_is_never_passed_over() -> None:
    written = AuthorizationRule("rules[0]", conditions=(Condition("remote.ip", ("::1",)),))
    with pytest.raises(ValueError, match=r"remote\.ip"):
        authorizer(deny(written))


# -- TCP: there are no requests -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policies", "allowed"),
    [
        ((allow(rule(sources=[FROM_A])),), True),
        ((allow(rule(sources=[SourceMatch(principals=(B.principal,))])),), False),
        ((allow(rule(operations=[ON_80])),), True),
        ((allow(rule(operations=[ON_81])),), False),
        ((allow(),), False),
        ((deny(rule(sources=[FROM_A])),), False),
        ((deny(rule(operations=[ON_81])),), True),
        ((deny(rule(operations=[ON_81])), allow(rule(sources=[FROM_A]))), True),
        ((deny(rule(sources=[FROM_A])), allow(rule(sources=[FROM_A]))), False),
    ],
)
def test_a_connection_is_decided_by_what_it_is(
    policies: tuple[AuthorizationConfig, ...], allowed: bool
) -> None:
    assert (authorizer(*policies).for_tcp(A) is None) is allowed


@pytest.mark.parametrize(
    "asking",
    [
        OperationMatch(methods=("GET",)),
        OperationMatch(not_methods=("GET",)),
        OperationMatch(paths=("/",)),
        OperationMatch(hosts=("a",), ports=(str(A.port),)),
    ],
)
def test_a_rule_that_asks_of_requests_never_allows_and_denies_by_the_rest(
    asking: OperationMatch,
) -> None:
    assert authorizer(allow(rule(operations=[asking]))).for_tcp(A) is not None
    # Not even by another of its operations: the rule as a whole says nothing about TCP.
    assert authorizer(allow(rule(operations=[asking, ON_80]))).for_tcp(A) is not None
    denial = authorizer(deny(rule(sources=[FROM_A], operations=[asking]))).for_tcp(A)
    assert denial is not None and denial.rule == "rules[0]"
    assert authorizer(deny(rule(sources=[FROM_A], operations=[asking]))).for_tcp(B) is None


def test_a_condition_on_headers_is_as_little_there() -> None:
    asking = AuthorizationRule(
        "rules[0]", (FROM_A,), (), (Condition("request.headers[x]", ("y",)),)
    )
    assert authorizer(allow(asking)).for_tcp(A) is not None
    assert authorizer(deny(asking)).for_tcp(A) is not None
    assert authorizer(deny(asking)).for_tcp(B) is None


def test_a_denied_connection_says_by_what() -> None:
    denial = authorizer(deny(rule("rules[0]", sources=[FROM_A]))).for_tcp(A)
    assert denial is not None
    assert (denial.policy, denial.rule) == ("AuthorizationPolicy/default/x", "rules[0]")
    nothing = authorizer(allow(rule(operations=[ON_81]))).for_tcp(A)
    assert nothing is not None and (nothing.policy, nothing.rule) == ("", "")
