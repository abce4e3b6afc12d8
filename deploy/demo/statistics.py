"""What a split of traffic may look like by chance."""

from collections.abc import Mapping
from math import sqrt

SIGMAS = 4.0


def within(counts: Mapping[str, int], shares: Mapping[str, float]) -> bool:
    """Whether each count is within 4 standard deviations of its share of all, and no other came.

    A share of 0 or 1 leaves nothing to chance.
    """
    total = sum(counts.values())
    if set(counts) - set(shares):
        return False
    return all(
        abs(counts.get(name, 0) - total * share) <= SIGMAS * sqrt(total * share * (1 - share))
        for name, share in shares.items()
    )


def shown(counts: Mapping[str, int]) -> str:
    """`v1 361, v2 39`, the names in order."""
    return ", ".join(f"{name} {counts[name]}" for name in sorted(counts)) or "none"
