"""Sizes of pools: who stays, who is new, who goes."""

from itertools import count

from hypothesis import given, settings
from hypothesis import strategies as st

from tulle.actors.supervisor.pools import grown, resized, staying
from tulle.bus.messages import PoolRecord


def pool(replicas: int, *members: str) -> PoolRecord:
    return PoolRecord(name="ingress", replicas=replicas, members=list(members))


def test_a_pool_grows_by_new_names() -> None:
    suffixes = iter(["aaaaa", "aaaaa", "bbbbb"])
    after = grown(pool(3, "ingress-aaaaa"), (), lambda: next(suffixes, "ccccc"))
    assert after.members == ["ingress-aaaaa", "ingress-bbbbb", "ingress-ccccc"]


def test_those_who_serve_stay() -> None:
    after = resized(pool(3, "a", "b", "c"), 1, lambda member: member == "c")
    assert staying(after, ()) == ["c"]


def test_who_is_ending_is_replaced_not_counted() -> None:
    after = grown(pool(2, "a", "b"), {"b"}, lambda: "new")
    assert after.members == ["a", "b", "ingress-new"]
    assert staying(after, {"b"}) == ["a", "ingress-new"]


@settings(max_examples=60)
@given(st.lists(st.sampled_from("abcdef"), unique=True), st.integers(0, 8), st.data())
def test_as_many_stay_as_are_wanted(members: list[str], replicas: int, data: st.DataObject) -> None:
    ending = data.draw(st.sets(st.sampled_from(members))) if members else set()
    numbers = count()
    after = grown(pool(replicas, *members), ending, lambda: str(next(numbers)))
    assert len(staying(after, ending)) == replicas
    assert set(members) <= set(after.members)
    assert not ending & set(staying(after, ending))
