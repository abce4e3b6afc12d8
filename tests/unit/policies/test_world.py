"""The world as a value."""

from hypothesis import given, settings

from tests.support import policy_strategies
from tests.support.policy_mesh import BOOKINFO, applied, service
from tulle.policies.world import Policy, Port, Service, World

RULE = """\
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: NAME}
spec: {host: reviews}
"""


@given(policy_strategies.worlds)
@settings(max_examples=30)
def test_a_world_is_equal_in_any_order(world: World) -> None:
    assert World.of(reversed(world.policies), reversed(world.services)) == world
    assert world.inconsistencies() == []


def test_policies_come_and_go_by_name() -> None:
    world = applied(World.of(), RULE.replace("NAME", "b")).world
    world = applied(world, RULE.replace("NAME", "a"), 2).world
    assert [policy.key.name for policy in world.policies] == ["a", "b"]
    one, two = world.policies
    assert world.without_policies([one.key]).policies == (two,)
    assert world.policy(one.key) is one
    assert world.without_policies([one.key]).policy(one.key) is None


def test_the_older_policy_sorts_first_then_namespace_and_name() -> None:
    [document] = applied(World.of(), RULE.replace("NAME", "b")).world.policies
    older = Policy(document.document, 3)
    newer = Policy(document.document, 4)
    assert older.age < newer.age


def test_of_two_services_of_one_name_the_last_counts() -> None:
    twice = [service("a", 80), service("a", 81)]
    assert World.of((), twice).services == (Service("default", "a", (Port(81, "http-81"),)),)
    assert World.of((), BOOKINFO).with_services(twice).services == (twice[1],)


def test_a_world_made_wrongly_says_so() -> None:
    unsorted = World(services=(service("b"), service("a")))
    assert unsorted.inconsistencies() == ["services are not sorted or not unique"]
