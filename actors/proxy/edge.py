"""What the edges of a proxy have in common; each decides about the requests of one listener."""

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from random import random

from tulle.actors.proxy.client import ClientConnection
from tulle.actors.proxy.exchange import Exchange
from tulle.actors.proxy.labels import UNKNOWN_DESTINATION, UNKNOWN_SERVICE, UNKNOWN_SOURCE, of_proxy
from tulle.actors.proxy.outbox import Outbox
from tulle.actors.proxy.spec import ProxySpec
from tulle.actors.proxy.stats import Reporter, Stats
from tulle.actors.proxy.trace import Tracer
from tulle.actors.proxy.wheel import Wheel
from tulle.actors.proxy.wire.request_head import PEER_HEADER


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every edge of one proxy shares."""

    spec: ProxySpec
    wheel: Wheel
    outbox: Outbox
    stats: Stats
    tracer: Tracer
    uniform: Callable[[], float] = random


class BaseEdge(ABC):
    """Connections, draining, and the recorder of requests that go nowhere."""

    def __init__(self, around: Surroundings, reporter: Reporter) -> None:
        spec = around.spec
        self.draining = False
        self.scheme = "http"
        self.port = 0
        self.connections: set[ClientConnection] = set()
        self.empty = asyncio.Event()
        self.uniform = around.uniform
        self.tracer = around.tracer
        self.peer_line = b"%b: %b" % (PEER_HEADER, spec.id.encode())
        self._around = around
        if reporter == "source":
            self.unrouted = around.stats.recorder(
                "source", of_proxy("source", spec), UNKNOWN_DESTINATION, UNKNOWN_SERVICE
            )
        else:
            self.unrouted = around.stats.recorder(
                "destination", UNKNOWN_SOURCE, of_proxy("destination", spec), UNKNOWN_SERVICE
            )

    @abstractmethod
    def admit(self, exchange: Exchange) -> None:
        """Decides about a request: one call of `forward`, `refuse` or `park`."""

    def greet(self, client: ClientConnection) -> bool:
        """Everybody is welcome."""
        self.connections.add(client)
        return True

    def part(self, client: ClientConnection) -> None:
        """A connection is gone."""
        self.connections.discard(client)
        if not self.connections:
            self.empty.set()

    async def drain(self, seconds: float) -> None:
        """Each answer is the last of its connection from now on; returns when none is left."""
        self.draining = True
        if self.connections and seconds > 0:
            self.empty.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):  # wait_for can swallow a cancellation on 3.11
                    await self.empty.wait()

    def protocol(self) -> ClientConnection:
        """For one accepted connection."""
        return ClientConnection(self, self._around.wheel, self._around.outbox)
