"""The compiler as a function: deterministic, incremental, consistent."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support import policy_strategies
from tests.support.policy_mesh import BOOKINFO, applied, service
from tulle.policies import config
from tulle.policies.compile.world import (
    Compilation,
    compile_all,
    compile_in_slices,
    compile_world,
    difference,
)
from tulle.policies.contradictions import contradictions
from tulle.policies.parse import Document
from tulle.policies.supported import unsupported
from tulle.policies.validate import check
from tulle.policies.world import Policy, World

REVIEWS = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec:
  hosts: [reviews]
  http: [{route: [{destination: {host: reviews, subset: v1}}]}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews}
spec:
  host: reviews
  subsets: [{name: v1, labels: {version: v1}}]
"""


def encoded(world: World) -> dict[tuple[str, ...], bytes]:
    return {key: config.encode(value) for key, value in compile_all(world).items()}


@given(st.data(), policy_strategies.worlds)
@settings(max_examples=60)
def test_the_order_of_documents_never_matters(data: Any, world: World) -> None:
    policies = data.draw(st.permutations(world.policies))
    services = data.draw(st.permutations(world.services))
    assert encoded(World.of(policies, services)) == encoded(world)


@given(policy_strategies.worlds, st.lists(policy_strategies.policies, max_size=3), st.data())
@settings(max_examples=60)
def test_an_incremental_result_equals_a_full_one(
    before: World, policies: list[Policy], data: Any
) -> None:
    gone = (
        data.draw(st.lists(st.sampled_from(before.policies), max_size=2)) if before.policies else []
    )
    after = before.without_policies(p.key for p in gone).with_policies(policies)
    after = after.with_services(data.draw(policy_strategies.services))
    incremental = compile_world(after, compile_world(before))
    assert dict(incremental.configs) == dict(compile_all(after))


@given(policy_strategies.worlds)
@settings(max_examples=60)
def test_what_is_compiled_here_is_what_an_apply_accepts(world: World) -> None:
    problems = check(world, [policy.document for policy in world.policies])
    assert [problem for problem in problems if problem.severity == "error"] == []


@given(policy_strategies.worlds)
@settings(max_examples=60)
def test_every_config_is_consistent_and_survives_the_wire(world: World) -> None:
    assert world.inconsistencies() == []
    for key, value in compile_all(world).items():
        assert value.inconsistencies() == []
        assert config.key(value) == key
        assert config.decode(config.encode(value)) == value


@given(policy_strategies.documents())
def test_the_random_documents_are_ones_that_mean_something(document: Document) -> None:
    errors = [p for p in contradictions(document) if p.severity == "error"]
    assert [*unsupported(document), *errors] == []


def test_every_service_has_its_config_and_every_namespace() -> None:
    keys = compile_all(World.of((), [service("a"), service("b", namespace="shop")]))
    assert sorted(keys) == [
        ("gateway", "ingress"),
        ("hosts",),
        ("inbound", "default"),
        ("inbound", "istio-system"),
        ("inbound", "shop"),
        ("outbound", "a.default.svc.cluster.local"),
        ("outbound", "b.shop.svc.cluster.local"),
    ]


def test_a_change_touches_only_what_refers_to_it() -> None:
    world = World.of((), BOOKINFO)
    before = compile_world(world)
    after = compile_world(applied(world, REVIEWS).world, before)
    changed = difference(before.configs, after.configs)
    assert list(changed.changed) == [("outbound", "reviews.default.svc.cluster.local")]
    assert changed.removed == ()
    untouched = ("outbound", "ratings.default.svc.cluster.local")
    assert after.configs[untouched] is before.configs[untouched]


def test_a_service_that_comes_touches_those_who_route_to_it() -> None:
    world = applied(World.of((), BOOKINFO[:1]), REVIEWS).world
    before = compile_world(world)
    after = compile_world(world.with_services(BOOKINFO), before)
    changed = difference(before.configs, after.configs)
    assert ("outbound", "reviews.default.svc.cluster.local") in changed.changed
    assert ("hosts",) in changed.changed
    assert ("outbound", "productpage.default.svc.cluster.local") not in changed.changed


def test_what_is_deleted_is_removed() -> None:
    before = compile_world(World.of((), BOOKINFO))
    after = compile_world(World.of((), BOOKINFO[1:]), before)
    gone = difference(before.configs, after.configs)
    assert gone.removed == (("outbound", "productpage.default.svc.cluster.local"),)


def test_slices_end_with_the_whole_result() -> None:
    world = World.of((), [service(f"s{number}") for number in range(120)])
    steps = list(compile_in_slices(world, keys_per_slice=50))
    assert steps[:-1] == [None, None]
    result = steps[-1]
    assert isinstance(result, Compilation)
    assert result.configs == compile_all(world)
