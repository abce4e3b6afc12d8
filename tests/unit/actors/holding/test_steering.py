"""The steering program, run by a small interpreter; the group's order against a model."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tulle.actors.holding import steering

Indexes = st.lists(st.integers(0, 63), min_size=1, max_size=64, unique=True)


def run(program: bytes, random: int) -> int:
    """What the kernel's interpreter returns for these random bits."""
    accumulator, at = 0, 0
    code = list(struct.iter_unpack("=HBBI", program))
    while True:
        op, if_true, if_false, k = code[at]
        at += 1
        if op == 0x20:
            assert k == 0xFFFFF038
            accumulator = random
        elif op == 0x94:
            accumulator %= k
        elif op == 0x15:
            at += if_true if accumulator == k else if_false
        else:
            assert op == 0x06
            return int(k)


@settings(max_examples=60)
@given(Indexes, st.integers(0, 2**32 - 1))
def test_program_returns_one_of_its_targets(indexes: list[int], random: int) -> None:
    assert run(steering.pick_among(indexes), random) == indexes[random % len(indexes)]


def test_every_target_is_as_likely() -> None:
    program = steering.pick_among([4, 0, 7])
    picked = [run(program, random) for random in range(300)]
    assert {index: picked.count(index) for index in set(picked)} == {0: 100, 4: 100, 7: 100}


@pytest.mark.parametrize("count", [0, steering.MAX_TARGETS + 1])
def test_too_few_or_too_many_targets_are_refused(count: int) -> None:
    with pytest.raises(ValueError, match=f"{count} sockets"):
        steering.pick_among(range(count))


@settings(max_examples=60)
@given(st.lists(st.integers(), min_size=1, unique=True), st.data())
def test_the_last_moves_into_the_hole(order: list[int], data: st.DataObject) -> None:
    leaving = data.draw(st.sampled_from(order))
    rest = steering.order_without(order, leaving)
    assert sorted(rest) == sorted(set(order) - {leaving})
    hole = order.index(leaving)
    assert [*rest[:hole]] == order[:hole]
    if leaving != order[-1]:
        assert rest[hole] == order[-1]
