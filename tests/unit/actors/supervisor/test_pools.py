"""Sizes of pools: who stays, who is new, who goes."""

from itertools import count
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tulle.actors.supervisor.context import Context
from tulle.actors.supervisor.members import DEFAULTS, MOST_EVALUATORS, Control
from tulle.actors.supervisor.pools import grown, resized, staying, with_first
from tulle.bus.messages import PoolRecord
from tulle.deploy.local import EVALUATORS


def pool(replicas: int, *members: str) -> PoolRecord:
    return PoolRecord(name="ingress", replicas=replicas, members=list(members))


def test_a_pool_grows_by_new_names() -> None:
    suffixes = iter(["aaaaa", "aaaaa", "bbbbb"])
    after = grown(pool(3, "ingress-aaaaa"), (), lambda _: f"ingress-{next(suffixes, 'ccccc')}")
    assert after.members == ["ingress-aaaaa", "ingress-bbbbb", "ingress-ccccc"]


def test_those_who_serve_stay() -> None:
    after = resized(
        pool(3, "a", "b", "c"), 1, lambda members: sorted(members, key=lambda member: member != "c")
    )
    assert staying(after, ()) == ["c"]


def test_who_is_ending_is_replaced_not_counted() -> None:
    after = grown(pool(2, "a", "b"), {"b"}, lambda _: "ingress-new")
    assert after.members == ["a", "ingress-new", "b"]
    assert staying(after, {"b"}) == ["a", "ingress-new"]


@settings(max_examples=60)
@given(st.lists(st.sampled_from("abcdef"), unique=True), st.integers(0, 8), st.data())
def test_as_many_stay_as_are_wanted(members: list[str], replicas: int, data: st.DataObject) -> None:
    ending = data.draw(st.sets(st.sampled_from(members))) if members else set()
    numbers = count()
    after = grown(pool(replicas, *members), ending, lambda _: str(next(numbers)))
    assert len(staying(after, ending)) == replicas
    assert set(members) <= set(after.members)
    assert not ending & set(staying(after, ending))


@pytest.fixture
def evaluators() -> Control:
    return Control(cast(Context, None), "evaluator", MOST_EVALUATORS)  # decides without it


def control_pool(replicas: int, *numbers: int) -> PoolRecord:
    members = [f"evaluator-{number}" for number in numbers]
    return PoolRecord(name="evaluators", kind="evaluator", replicas=replicas, members=members)


def test_evaluators_are_numbered_and_gaps_are_filled(evaluators: Control) -> None:
    after = grown(control_pool(4, 1, 3), (), evaluators.new)
    assert after.members == ["evaluator-1", "evaluator-3", "evaluator-2", "evaluator-4"]


def test_the_oldest_evaluators_stay(evaluators: Control) -> None:
    after = resized(control_pool(4, 10, 2, 1, 3), 2, evaluators.in_order)
    assert staying(after, ()) == ["evaluator-1", "evaluator-2"]


@pytest.mark.parametrize("replicas", [0, 9])
def test_a_mesh_without_an_evaluator_is_refused(evaluators: Control, replicas: int) -> None:
    said = evaluators.refusal(replicas)
    assert said == f"a mesh has from 1 to 8 evaluators, not {replicas}"
    assert not evaluators.refusal(1) and not evaluators.refusal(8)


def test_what_the_ray_host_starts_beyond_the_size_is_known_and_so_ended(
    evaluators: Control,
) -> None:
    after = with_first(control_pool(1, 1), evaluators.in_order)
    assert after.members == ["evaluator-1", "evaluator-2"]
    assert staying(after, ()) == ["evaluator-1"]


def test_what_the_ray_host_starts_is_what_a_new_mesh_desires() -> None:
    sizes = {pool.name: (pool.replicas, len(pool.members)) for pool in DEFAULTS}
    assert sizes == {"ingress": (1, 0), "evaluators": (2, EVALUATORS), "collectors": (1, 1)}
