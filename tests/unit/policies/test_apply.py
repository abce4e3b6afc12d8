"""Apply and delete as functions of a world: all or nothing."""

from tests.support.policy_mesh import BOOKINFO, applied, parsed
from tulle.policies.apply import apply, delete
from tulle.policies.world import PolicyKey, World

RULE = """\
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews}
spec: {host: reviews, subsets: [{name: v1, labels: {version: v1}}]}
"""
ROUTE = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec:
  hosts: [reviews]
  http: [{route: [{destination: {host: reviews, subset: v1}}]}]
"""
WORLD = World.of((), BOOKINFO)
RULE_KEY = PolicyKey("DestinationRule", "default", "reviews")
ROUTE_KEY = PolicyKey("VirtualService", "default", "reviews")


def test_new_policies_are_created_at_the_revision() -> None:
    outcome = applied(WORLD, f"{RULE}---\n{ROUTE}", revision=7)
    assert outcome.ok and outcome.problems == ()
    assert list(map(str, outcome.changes)) == [
        "created DestinationRule default/reviews",
        "created VirtualService default/reviews",
    ]
    assert [policy.created for policy in outcome.world.policies] == [7, 7]


def test_a_changed_policy_keeps_the_revision_that_created_it() -> None:
    world = applied(WORLD, RULE, revision=7).world
    outcome = applied(world, RULE.replace("name: v1", "name: v2"), revision=8)
    [change] = outcome.changes
    assert str(change) == "changed DestinationRule default/reviews"
    assert change.before == world.policies[0]
    assert outcome.world.policies == (change.after,)
    assert outcome.world.policies[0].created == 7


def test_what_is_there_already_is_no_change() -> None:
    world = applied(WORLD, RULE, revision=7).world
    outcome = applied(world, f"# the same\n{RULE}", revision=8)
    assert outcome.ok
    assert outcome.changes == ()
    assert outcome.world == world


def test_with_one_error_nothing_is_applied() -> None:
    world = applied(WORLD, RULE).world
    outcome = applied(world, f"{ROUTE}---\n{RULE.replace('host: reviews', 'host: a b')}", 2)
    assert not outcome.ok
    assert outcome.world is world
    assert outcome.changes == ()


def test_a_subset_that_goes_is_a_warning_about_who_uses_it() -> None:
    world = applied(WORLD, f"{RULE}---\n{ROUTE}").world
    outcome = applied(world, RULE.replace("name: v1", "name: v2"), 2)
    [warning] = outcome.problems
    assert outcome.ok
    assert (warning.code, warning.severity) == ("missing-reference", "warning")
    assert warning.message.startswith("VirtualService default/reviews: no DestinationRule of")


def test_delete_removes_and_warns_of_who_is_left() -> None:
    world = applied(WORLD, f"{RULE}---\n{ROUTE}").world
    outcome = delete(world, [RULE_KEY])
    assert outcome.ok
    assert list(map(str, outcome.changes)) == ["deleted DestinationRule default/reviews"]
    assert [policy.key for policy in outcome.world.policies] == [ROUTE_KEY]
    assert [problem.code for problem in outcome.problems] == ["missing-reference"]


def test_delete_of_what_is_not_there_deletes_nothing() -> None:
    world = applied(WORLD, RULE).world
    outcome = delete(world, [RULE_KEY, ROUTE_KEY])
    assert not outcome.ok
    assert outcome.world is world
    assert [str(problem) for problem in outcome.problems] == [
        "error: there is no VirtualService default/reviews [no-such-policy]"
    ]


def test_problems_that_were_there_before_are_not_said_again() -> None:
    world = applied(WORLD, ROUTE).world
    other = RULE.replace("name: reviews}", "name: ratings}").replace(
        "host: reviews", "host: ratings"
    )
    assert apply(world, parsed(other).documents, 2).problems == ()
