"""Ejection: an endpoint that fails again and again gets no requests for a while.

As Envoy's outlier detection. Failures in a row are counted at the endpoint, what is ejected is
known per cluster name, and outlives installs. Who is ejected is back at the first end of an
interval after its time; the more often it happened, the longer it takes.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from weakref import WeakKeyDictionary, WeakMethod

from tulle.actors.proxy.pool import Endpoint, Failing
from tulle.actors.proxy.wheel import NOT_ARMED, Wheel
from tulle.policies.config import DEFAULT_OUTLIER, Outlier

log = logging.getLogger(__name__)

LONGEST_SECONDS: Final = 300.0  # Envoy's max_ejection_time

_GATEWAY_ERRORS: Final = frozenset({502, 503, 504})
_LOCAL_AS: Final = 503  # what a failure without an answer counts as, unless it is counted apart

Endpoints = tuple[Endpoint, ...]


@dataclass(slots=True)
class _Past:
    """How often an endpoint was ejected; each interval without makes it one less."""

    times: int = 0
    back: float = 0.0


class Ejection:
    """Which endpoints of the clusters of one name are ejected. `outlier` may be replaced."""

    def __init__(self, wheel: Wheel, outlier: Outlier = DEFAULT_OUTLIER) -> None:
        self.outlier = outlier
        self.slot = NOT_ARMED
        self._wheel = wheel
        self._ejected: dict[Endpoint, float] = {}  # until when
        self._pasts: WeakKeyDictionary[Endpoint, _Past] = WeakKeyDictionary()
        self._watching: list[WeakMethod[Callable[[], None]]] = []

    def watch(self, changed: Callable[[], None]) -> None:
        """Has a bound method called whenever `available` gives something else."""
        self._watching = [it for it in self._watching if it() is not None]
        self._watching.append(WeakMethod(changed))

    def available(self, endpoints: Endpoints) -> Endpoints:
        """Those of `endpoints` that are not ejected; all when too few would be left."""
        if not self._ejected:
            return endpoints
        left = tuple(it for it in endpoints if it not in self._ejected)
        if not left or len(left) * 100 < self.outlier.min_health_percent * len(endpoints):
            return endpoints
        return left

    def failed(self, endpoint: Endpoint, endpoints: Endpoints) -> None:
        """A request to `endpoint`, one of `endpoints`, got no answer."""
        if not self.outlier.split:
            self.answered(endpoint, _LOCAL_AS, endpoints)
            return
        failing = endpoint.failing = endpoint.failing or Failing()
        failing.local += 1
        if _reached(failing.local, self.outlier.consecutive_local):
            failing.local = 0
            self._eject(endpoint, endpoints)

    def answered(self, endpoint: Endpoint, status: int, endpoints: Endpoints) -> None:
        """A request to `endpoint`, one of `endpoints`, was answered with `status`."""
        if status < 500:
            endpoint.failing = None
            return
        failing = endpoint.failing = endpoint.failing or Failing()
        failing.local = 0
        failing.server += 1
        failing.gateway = failing.gateway + 1 if status in _GATEWAY_ERRORS else 0
        outlier = self.outlier
        if _reached(failing.server, outlier.consecutive_5xx) or _reached(
            failing.gateway, outlier.consecutive_gateway
        ):
            endpoint.failing = None
            self._eject(endpoint, endpoints)

    def on_time(self, now: float) -> float | None:
        """Called by the wheel, at each end of an interval while something is ejected."""
        back = [it for it, until in self._ejected.items() if until <= now]
        for endpoint in back:
            del self._ejected[endpoint]
            endpoint.failing = None
            self._pasts[endpoint].back = now
            log.info("endpoint back: host=%s address=%s", endpoint.host, _address(endpoint))
        if back:
            self._changed()
        return now + self._interval if self._ejected else None

    @property
    def _interval(self) -> float:
        return self.outlier.interval_ms / 1_000

    def _eject(self, endpoint: Endpoint, endpoints: Endpoints) -> None:
        ejected = sum(it in self._ejected for it in endpoints)
        if endpoint in self._ejected or ejected >= self._most(len(endpoints)):
            return
        now = self._wheel.after(0)
        past = self._pasts.setdefault(endpoint, _Past())
        past.times = max(0, past.times - int((now - past.back) / self._interval)) + 1
        base = self.outlier.base_ejection_ms / 1_000
        seconds = min(base * past.times, max(base, LONGEST_SECONDS))
        self._ejected[endpoint] = now + seconds
        log.warning(
            "endpoint ejected: host=%s address=%s seconds=%g",
            endpoint.host, _address(endpoint), seconds,
        )  # fmt: skip
        self._wheel.arm(self, now + self._interval)
        self._changed()

    def _most(self, count: int) -> int:
        """How many of `count` endpoints may be ejected: of those that a policy wrote one always."""
        most = count * self.outlier.max_ejection_percent // 100
        return most if self.outlier is DEFAULT_OUTLIER else max(1, most)

    def _changed(self) -> None:
        for watching in self._watching:
            if (changed := watching()) is not None:
                changed()


def _reached(count: int, limit: int) -> bool:
    return count >= limit > 0


def _address(endpoint: Endpoint) -> str:
    return f"{endpoint.address}:{endpoint.port}"
