"""An endpoint and its connections: idle ones (last in, first out), and those being made.

A request that finds none idle waits for one; each waiting request has one connection in the
making, but takes whichever is free first.
"""

import asyncio
import logging
import ssl
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Final, Protocol

from tulle.actors.proxy.stats import Recorder
from tulle.actors.proxy.upstream import UpstreamConnection
from tulle.actors.proxy.wheel import NOT_ARMED, Wheel
from tulle.policies.reasons import (
    CONNECT_FAILED,
    CONNECT_TIMEOUT,
    IDENTITY_REFUSED,
    PENDING_OVERFLOW,
    Reason,
)

log = logging.getLogger(__name__)

CONNECT_SECONDS: Final = 10.0
IDLE_SECONDS: Final = 60.0
IDLE_LIMIT: Final = 512  # connections
CONNECTING_LIMIT: Final = 1_024


class DialFailed(Exception):
    """No connection, for this reason."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.sentence)
        self.reason = reason


class IdentityRefused(Exception):
    """The peer proved an identity that the service does not have."""


class Waiter(Protocol):
    """Who waits for a connection; one of the two is called, not before `wait` has returned."""

    def connected(self, upstream: UpstreamConnection) -> None: ...
    def connect_failed(self, reason: Reason) -> None: ...


class Dialer(Protocol):
    """Makes connections. Those of an earlier `generation` are not used for new requests."""

    @property
    def generation(self) -> int: ...

    def __call__(self, endpoint: "Endpoint") -> Awaitable[UpstreamConnection]: ...


@dataclass(slots=True)
class Failing:
    """Failures in a row: 5xx answers, of these gateway errors, and local ones (no answer)."""

    server: int = 0
    gateway: int = 0
    local: int = 0


class Endpoint:
    """One address, with its connections. `accounts`: the SPIFFE ids that may answer there.

    `failing` counts failures in a row; None while there are none. `overflow`: why `wait` says no.
    """

    __slots__ = (
        "__weakref__",
        "_connecting",
        "_dial",
        "_retired",
        "_waiters",
        "_wheel",
        "accounts",
        "active",
        "address",
        "connect_seconds",
        "epoch",
        "failing",
        "host",
        "idle",
        "idle_seconds",
        "port",
        "recorder",
    )

    overflow: Reason = PENDING_OVERFLOW

    def __init__(
        self,
        address: str,
        port: int,
        dial: Dialer,
        wheel: Wheel,
        *,
        host: str = "",
        accounts: frozenset[str] = frozenset(),
        recorder: Recorder | None = None,
        idle_seconds: float = IDLE_SECONDS,
        connect_seconds: float = CONNECT_SECONDS,
    ) -> None:
        self.address = address
        self.port = port
        self.host = host
        self.accounts = accounts
        self.recorder = recorder
        self.idle_seconds = idle_seconds
        self.connect_seconds = connect_seconds
        self.epoch = 0  # connections of an earlier one carry no further request
        self.failing: Failing | None = None
        self.active = 0  # requests under way, or waiting for a connection
        self._dial = dial
        self._wheel = wheel
        self.idle: list[UpstreamConnection] = []  # to take from; the last was used last
        self._waiters: dict[Waiter, None] = {}
        self._connecting: set[asyncio.Task[None]] = set()
        self._retired = False

    def wait(self, waiter: Waiter) -> bool:
        """Has `waiter` called with a connection or why there is none. False: too many wait."""
        if len(self._connecting) >= CONNECTING_LIMIT:
            return False
        self._waiters[waiter] = None
        self._dial_soon()
        return True

    def forget(self, waiter: Waiter) -> None:
        """`waiter` waits no longer."""
        self._waiters.pop(waiter, None)

    def take_back(self, upstream: UpstreamConnection) -> None:
        """A connection that can carry another request."""
        outdated = upstream.epoch != self.epoch or upstream.generation != self._dial.generation
        if self._retired or outdated:
            upstream.transport.close()
        elif self._waiters and self._give(upstream):
            pass
        elif len(self.idle) >= IDLE_LIMIT:
            upstream.transport.close()
        else:
            upstream.idle_since = self._wheel.now
            self.idle.append(upstream)
            if upstream.slot == NOT_ARMED:
                self._wheel.arm(upstream, self._wheel.now + self.idle_seconds)

    def closed(self, upstream: UpstreamConnection) -> None:
        """A connection is closed; said once."""
        self.lost(upstream)

    def lost(self, upstream: UpstreamConnection) -> None:
        """A connection that carries no more requests; may be said twice."""
        if upstream in self.idle:
            self.idle.remove(upstream)
        self._wheel.disarm(upstream)

    def renew(self) -> None:
        """Closes idle connections; those at work close when they are done."""
        self.epoch += 1
        idle, self.idle = self.idle, []
        for upstream in idle:
            self._wheel.disarm(upstream)
            upstream.transport.close()

    def retire(self) -> None:
        """The endpoint is gone: requests under way finish, no connection is kept."""
        self._retired = True
        self.renew()

    def revive(self) -> None:
        """The endpoint is back."""
        self._retired = False

    async def _connect(self) -> None:
        failure = CONNECT_FAILED
        upstream = None
        try:
            async with asyncio.timeout(self.connect_seconds):
                dialled = await self._dial(self)
            if not dialled.transport.is_closing():  # by the peer, since it was made
                upstream = dialled
        except TimeoutError:
            failure = CONNECT_TIMEOUT
        except DialFailed as error:
            failure = error.reason
            log.warning("not connected: host=%s reason=%s: %s", self.host, failure.name, error)
        except (IdentityRefused, ssl.SSLCertVerificationError) as error:
            failure = IDENTITY_REFUSED
            log.warning("identity refused: host=%s error=%s", self.host, error)
        except (ssl.SSLError, OSError):
            pass
        finally:
            if upstream is None:
                self._dial_failed(failure)
            else:
                self._dialled(upstream)

    def _dial_soon(self) -> None:
        task = asyncio.get_running_loop().create_task(self._connect())
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    def _dialled(self, upstream: UpstreamConnection) -> None:
        upstream.joined = True
        if not self._give(upstream):
            self.take_back(upstream)

    def _dial_failed(self, reason: Reason) -> None:
        waiter = self._next_waiter()
        if waiter is not None:
            waiter.connect_failed(reason)

    def _give(self, upstream: UpstreamConnection) -> bool:
        """Gives a connection to who waits longest; False: nobody does."""
        waiter = self._next_waiter()
        if waiter is None:
            return False
        waiter.connected(upstream)
        return True

    def _next_waiter(self) -> Waiter | None:
        waiter = next(iter(self._waiters), None)
        if waiter is not None:
            del self._waiters[waiter]
        return waiter
