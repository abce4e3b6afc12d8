"""Istio's `retryOn`: names of conditions and status codes, separated by commas.

Counterparts: `contradictions` refuses what is not listed here, `compile/actions.py` writes the
conditions into config, `decide/planning.py` gives them their meaning.
"""

from dataclasses import dataclass
from typing import Final

DEFAULT_RETRY_ON: Final = "connect-failure,reset,503"
"""Of retries without `retryOn`. Istio's list has refused streams and gRPC besides: HTTP/2 alone."""

CODES: Final = "retriable-status-codes"
CONDITIONS: Final = (
    "connect-failure",
    "reset",
    "reset-before-request",
    "5xx",
    "gateway-error",
    "retriable-4xx",
    CODES,
    "refused-stream",
)
GRPC: Final = ("cancelled", "deadline-exceeded", "internal", "resource-exhausted", "unavailable")
LATER: Final = ("envoy-ratelimited", "retriable-headers", "http3-post-connect-failure")
"""Of Envoy, and not executed."""


@dataclass(frozen=True, slots=True)
class RetryOn:
    """`names` are of CONDITIONS; `others` are whatever else was written. All sorted."""

    names: tuple[str, ...]
    statuses: tuple[int, ...]
    others: tuple[str, ...]


def split_retry_on(text: str) -> RetryOn:
    """`503, reset` -> its parts. Numbers from 100 to 599 are codes, which CODES then names too."""
    words = {word.strip() for word in text.split(",")} - {""}
    statuses = {int(word) for word in words if _is_status(word)}
    names = words & set(CONDITIONS) | ({CODES} if statuses else set())
    others = {word for word in words if word not in CONDITIONS and not _is_status(word)}
    return RetryOn(tuple(sorted(names)), tuple(sorted(statuses)), tuple(sorted(others)))


def _is_status(word: str) -> bool:
    return len(word) == 3 and word.isascii() and word.isdigit() and 100 <= int(word) <= 599
