import pytest
from hypothesis import given
from hypothesis import strategies as st

from tulle.policies.decide.pick import compile_pick

uniform = st.floats(0, 1, exclude_max=True)


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=6).filter(any), uniform)
def test_each_item_has_the_share_of_its_weight(weights: list[int], number: float) -> None:
    pick = compile_pick(range(len(weights)), weights)
    item = pick(number)
    below = sum(weights[:item])
    assert weights[item] > 0
    # The number lies in the item's stretch of [0, total), up to rounding.
    assert below - 1e-6 <= number * sum(weights) <= below + weights[item] + 1e-6


def test_shares_of_three() -> None:
    pick = compile_pick("abc", [50, 30, 20])
    picked = [pick(number / 100) for number in range(100)]
    assert {item: picked.count(item) for item in "abc"} == {"a": 50, "b": 30, "c": 20}


def test_the_edges_of_two() -> None:
    pick = compile_pick("ab", [90, 10])
    assert [pick(0.0), pick(0.8999), pick(0.9), pick(1 - 2**-53)] == ["a", "a", "b", "b"]


def test_weights_of_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="one item with a weight"):
        compile_pick("ab", [0, 0])
    with pytest.raises(ValueError, match="one item with a weight"):
        compile_pick([], [])
