"""Apply and delete as functions of a world: all or nothing."""

from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.support import policy_strategies
from tests.support.policy_mesh import BOOKINFO, applied, parsed
from tulle.policies.apply import apply, delete
from tulle.policies.compile.world import compile_all
from tulle.policies.parse import Document
from tulle.policies.resources.kinds import Kind
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


junk = st.sampled_from(["", "*", "a", "a b", "*.", "mesh", "a/b", "/", "x" * 300, "é", "A.b", "|"])
junk_lists = st.lists(junk, max_size=3)
junk_destinations = st.fixed_dictionaries({"host": junk}, optional={"subset": junk})
short = junk.filter(lambda text: len(text) <= 63)
FIELDS = st.sampled_from(["principals", "notPrincipals", "namespaces", "ipBlocks"])
JUNK: dict[Kind, dict[str, st.SearchStrategy[Any]]] = {
    "VirtualService": {
        "hosts": junk_lists,
        "gateways": junk_lists,
        "http": st.lists(
            st.fixed_dictionaries(
                {"route": st.lists(st.fixed_dictionaries({"destination": junk_destinations}))}
            ),
            max_size=2,
        ),
    },
    "DestinationRule": {
        "host": junk,
        "subsets": st.lists(st.fixed_dictionaries({"name": junk}), max_size=3),
    },
    "Gateway": {
        "servers": st.lists(
            st.fixed_dictionaries(
                {
                    "hosts": junk_lists,
                    "port": st.fixed_dictionaries(
                        {"number": st.integers(0, 2), "name": junk, "protocol": junk}
                    ),
                }
            ),
            max_size=2,
        ),
        "selector": st.dictionaries(junk, junk, max_size=1),
    },
    "PeerAuthentication": {
        "selector": st.fixed_dictionaries(
            {"matchLabels": st.dictionaries(junk, short, max_size=1)}
        ),
        "portLevelMtls": st.dictionaries(junk, st.just({}), min_size=1, max_size=2),
    },
    "AuthorizationPolicy": {
        "rules": st.lists(
            st.fixed_dictionaries(
                {
                    "from": st.lists(
                        st.fixed_dictionaries({"source": st.dictionaries(FIELDS, junk_lists)}),
                        max_size=2,
                    ),
                    "when": st.lists(
                        st.fixed_dictionaries({"key": junk, "values": junk_lists}), max_size=2
                    ),
                }
            ),
            max_size=2,
        )
    },
    "ServiceEntry": {"hosts": junk_lists.filter(lambda hosts: bool(hosts) and "*" not in hosts)},
}


distinct = st.lists(
    policy_strategies.documents(),
    min_size=2,
    max_size=6,
    unique_by=lambda document: (document.kind, document.namespace, document.name),
)


@given(distinct, st.data())
@settings(max_examples=60)
def test_the_order_of_applies_documents_and_deletes_never_matters(
    documents: list[Document], data: Any
) -> None:
    """Policies of one age, some of which come and go: the world is as if they had not.

    A few say of each other what can't be meant (ISTIO_MUTUAL to a ServiceEntry's host): there it is
    the later apply that is refused, so these are left out.
    """
    gone = data.draw(st.lists(st.sampled_from(documents), unique_by=id))
    kept = [document for document in documents if all(document is not other for other in gone)]
    world = WORLD
    for document in data.draw(st.permutations(documents)):
        outcome = apply(world, [document], 1)
        assume(outcome.ok)
        world = outcome.world
    keys = [PolicyKey(d.kind, d.namespace, d.name) for d in gone]
    for key in data.draw(st.permutations(keys)):
        world = delete(world, [key]).world
    at_once = apply(WORLD, kept, 1)
    assume(at_once.ok)
    assert world == at_once.world
    assert compile_all(world) == compile_all(at_once.world)


@st.composite
def junk_documents(draw: st.DrawFn) -> Document:
    """What fits the schema and may make no sense at all."""
    kind = draw(st.sampled_from([*JUNK]))
    spec = draw(st.fixed_dictionaries(JUNK[kind]))
    return policy_strategies.document(kind, "default", draw(st.sampled_from("ab")), spec)


@given(policy_strategies.worlds, st.lists(junk_documents(), min_size=1, max_size=4))
@settings(max_examples=60)
def test_no_document_makes_apply_raise(world: World, documents: list[Document]) -> None:
    outcome = apply(world, documents, 4)
    assert outcome.ok or outcome.world is world
    assert all(str(problem) for problem in outcome.problems)
    after = delete(outcome.world, [policy.key for policy in outcome.world.policies])
    assert after.ok and after.world.policies == ()
