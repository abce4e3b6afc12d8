"""Which workloads give no sign of life any more. Pure; for lost nodes, the last resort.

Silence counts only while the supervisor itself was connected throughout, and however silent all
are: at most half of a service's endpoints leave it in a minute, but always at least one.
"""

from collections import deque
from collections.abc import Collection
from typing import Final

EXPIRY_SECONDS: Final = 6.0
WINDOW_SECONDS: Final = 60.0


class Leases:
    """The last sign of life of each workload, in seconds of the monotonic clock."""

    def __init__(self, now: float) -> None:
        self._heard: dict[str, float] = {}
        self._connected: float | None = now
        self._removals: dict[str, deque[float]] = {}

    def heard(self, workload: str, now: float) -> None:
        """A lease came."""
        self._heard[workload] = now

    def forget(self, workload: str) -> None:
        """The workload is no more."""
        self._heard.pop(workload, None)

    def connected(self, now: float) -> None:
        """From now on silence counts again, from zero."""
        self._connected = now

    def disconnected(self) -> None:
        """From now on silence says nothing."""
        self._connected = None

    def silence(self, workload: str, now: float) -> float:
        """For how long no lease came, in seconds that count."""
        if self._connected is None:
            return 0.0
        return now - max(self._heard.setdefault(workload, now), self._connected)

    def silent(self, workload: str, now: float) -> bool:
        """Whether no lease came for `EXPIRY_SECONDS`."""
        return self.silence(workload, now) >= EXPIRY_SECONDS

    def to_remove(self, service: str, endpoints: Collection[str], now: float) -> list[str]:
        """Those of the service's `endpoints` to be removed now, which are counted as removed."""
        removals = self._removals.setdefault(service, deque())
        while removals and removals[0] <= now - WINDOW_SECONDS:
            removals.popleft()
        allowed = max(1, (len(endpoints) + len(removals)) // 2) - len(removals)
        removed = sorted(one for one in endpoints if self.silent(one, now))[: max(0, allowed)]
        removals.extend(now for _ in removed)
        return removed
