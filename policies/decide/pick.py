"""The weighted choice among a route's targets; the uniform number is an argument."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import TypeVar

T = TypeVar("T")


def compile_pick(items: Sequence[T], weights: Sequence[int]) -> Callable[[float], T]:
    """A function of a number in [0, 1) that returns each item as often as its weight says.

    Raises ValueError when there is nothing to pick.
    """
    weighted = [(item, weight) for item, weight in zip(items, weights, strict=True) if weight > 0]
    if not weighted:
        raise ValueError("a choice needs one item with a weight")
    total = sum(weight for _, weight in weighted)
    if len(weighted) == 1:
        only = weighted[0][0]
        return lambda uniform: only
    if len(weighted) == 2:
        (first, share), (second, _) = weighted
        threshold = share / total
        return lambda uniform: first if uniform < threshold else second
    # Without the last threshold: rounding can't lead past the end.
    thresholds = [part / total for part in accumulate(weight for _, weight in weighted[:-1])]
    choices = [item for item, _ in weighted]
    return lambda uniform: choices[bisect_right(thresholds, uniform)]
