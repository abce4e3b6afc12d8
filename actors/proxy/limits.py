"""Limits of a cluster (connectionPool): counters, and endpoints that keep to them.

A cluster with limits has endpoints of its own, so what they count is the cluster's. One without has
plain endpoints, shared with others, where nothing is looked at. As in Envoy an endpoint that has no
connection may always make one, so that whoever waits there is served in the end.
"""

from tulle.actors.proxy.pool import (
    CONNECT_SECONDS,
    CONNECTING_LIMIT,
    IDLE_SECONDS,
    Dialer,
    Endpoint,
    Waiter,
)
from tulle.actors.proxy.stats import Recorder
from tulle.actors.proxy.upstream import UpstreamConnection
from tulle.actors.proxy.wheel import Wheel
from tulle.policies.config import ConnectionLimits
from tulle.policies.reasons import UPSTREAM_OVERFLOW, Reason


class Limits:
    """The counters of one cluster name."""

    __slots__ = (
        "__weakref__", "active", "config", "connections", "pending", "retries", "stalled",
    )  # fmt: skip

    def __init__(self, config: ConnectionLimits) -> None:
        self.config = config
        self.active = 0  # requests, those that wait for a connection too
        self.pending = 0  # these alone
        self.connections = 0  # those being made too
        self.retries = 0
        self.stalled: dict[LimitedEndpoint, None] = {}  # who waits there, waits without a dial

    def replace(self, config: ConnectionLimits) -> None:
        """Other limits from now on; more connections may be allowed now."""
        self.config = config
        self.wake()

    @property
    def full(self) -> bool:
        """No request more may be under way."""
        most = self.config.max_requests
        return most is not None and self.active - self.pending >= most

    @property
    def exceeded(self) -> bool:
        """More requests are under way than may be."""
        most = self.config.max_requests
        return most is not None and self.active - self.pending > most

    @property
    def may_wait(self) -> bool:
        """A request more may wait for a connection."""
        most = self.config.max_pending_requests
        return most is None or self.pending < most

    @property
    def may_connect(self) -> bool:
        """A connection more may be made."""
        most = self.config.max_connections
        return most is None or self.connections < most

    def take_retry(self) -> bool:
        """Counts a request that is tried again; False: too many are."""
        most = self.config.max_retries
        if most is not None and self.retries >= most:
            return False
        self.retries += 1
        return True

    def wake(self) -> None:
        """Connections may be made where requests wait for one."""
        for endpoint in list(self.stalled):
            if not self.may_connect:
                return
            endpoint.dial_for_stalled()


class LimitedEndpoint(Endpoint):
    """An endpoint of one cluster alone."""

    __slots__ = ("_active", "_dialling", "_limits", "_open")

    overflow = UPSTREAM_OVERFLOW

    def __init__(
        self,
        address: str,
        port: int,
        dial: Dialer,
        wheel: Wheel,
        limits: Limits,
        *,
        host: str = "",
        accounts: frozenset[str] = frozenset(),
        recorder: Recorder | None = None,
    ) -> None:
        self._limits = limits
        self._active = 0
        self._open = 0  # connections, those being made too
        self._dialling = 0
        super().__init__(
            address, port, dial, wheel, host=host, accounts=accounts, recorder=recorder
        )
        self.set_times()

    def set_times(self) -> None:
        """Takes the times of the limits as they are now."""
        config = self._limits.config
        connect, idle = config.connect_timeout_ms, config.idle_timeout_ms
        self.connect_seconds = CONNECT_SECONDS if connect is None else connect / 1_000
        self.idle_seconds = IDLE_SECONDS if idle is None else idle / 1_000

    @property
    def active(self) -> int:
        """Requests under way, or waiting for a connection."""
        return self._active

    @active.setter
    def active(self, active: int) -> None:
        self._limits.active += active - self._active
        self._active = active

    def wait(self, waiter: Waiter) -> bool:
        """As of other endpoints, but may leave the waiter to connections that are there."""
        if not self._limits.may_wait:
            return False
        if self._may_dial():
            if not super().wait(waiter):
                return False
        elif len(self._waiters) >= CONNECTING_LIMIT:
            return False
        else:
            self._waiters[waiter] = None
            self._limits.stalled[self] = None
        self._limits.pending += 1
        return True

    def forget(self, waiter: Waiter) -> None:
        """`waiter` waits no longer."""
        if waiter in self._waiters:
            super().forget(waiter)
            self._one_waits_less()

    def take_back(self, upstream: UpstreamConnection) -> None:
        """A connection that can carry another request, unless it has had its share."""
        most = self._limits.config.max_requests_per_connection
        upstream.served += upstream.reused
        if most is not None and upstream.served >= most:
            self.lost(upstream)
            upstream.transport.close()
        else:
            super().take_back(upstream)

    def closed(self, upstream: UpstreamConnection) -> None:
        """A connection is closed; said once."""
        super().closed(upstream)
        if upstream.joined:
            self._one_less()

    def dial_for_stalled(self) -> None:
        """Makes the connections that were not to be made when their requests came."""
        while len(self._waiters) > self._dialling:
            if not self._may_dial():
                return
            self._dial_soon()
        self._limits.stalled.pop(self, None)

    def _may_dial(self) -> bool:
        return self._limits.may_connect or not self._open

    def _dial_soon(self) -> None:
        self._open += 1
        self._dialling += 1
        self._limits.connections += 1
        super()._dial_soon()

    def _dialled(self, upstream: UpstreamConnection) -> None:
        self._dialling -= 1
        super()._dialled(upstream)

    def _dial_failed(self, reason: Reason) -> None:
        self._dialling -= 1
        super()._dial_failed(reason)
        self._one_less()

    def _one_less(self) -> None:
        self._open -= 1
        self._limits.connections -= 1
        self.dial_for_stalled()  # it may have no connection left, and then it may make one
        self._limits.wake()

    def _give(self, upstream: UpstreamConnection) -> bool:
        while (waiter := self._next_waiter()) is not None:
            if not self._limits.exceeded:
                waiter.connected(upstream)
                return True
            waiter.connect_failed(UPSTREAM_OVERFLOW)
        return False

    def _next_waiter(self) -> Waiter | None:
        waiter = super()._next_waiter()
        if waiter is not None:
            self._one_waits_less()
        return waiter

    def _one_waits_less(self) -> None:
        self._limits.pending -= 1
        if not self._waiters:
            self._limits.stalled.pop(self, None)
