"""What the edges of a proxy have in common; each decides about the requests of one listener."""

from collections.abc import Callable
from dataclasses import dataclass
from random import random

from tulle.actors.proxy.client import ClientConnection
from tulle.actors.proxy.labels import UNKNOWN_DESTINATION, UNKNOWN_SERVICE, UNKNOWN_SOURCE, of_proxy
from tulle.actors.proxy.spec import ProxySpec
from tulle.actors.proxy.stats import Stats
from tulle.actors.proxy.trace import Tracer
from tulle.actors.proxy.wheel import Wheel
from tulle.actors.proxy.wire.head import Headers
from tulle.actors.proxy.wire.request import PEER_HEADER


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every edge of one proxy shares."""

    spec: ProxySpec
    wheel: Wheel
    stats: Stats
    tracer: Tracer
    uniform: Callable[[], float] = random


class BaseEdge:
    """Connections, draining, and the recorder of requests that go nowhere."""

    def __init__(self, around: Surroundings, reporter: str) -> None:
        spec = around.spec
        self.draining = False
        self.connections: set[ClientConnection] = set()
        self.uniform = around.uniform
        self.tracer = around.tracer
        self.peer_headers: Headers = [(PEER_HEADER, spec.id.encode())]
        self._wheel = around.wheel
        if reporter == "source":
            self.unrouted = around.stats.recorder(
                "source", of_proxy("source", spec), UNKNOWN_DESTINATION, UNKNOWN_SERVICE
            )
        else:
            self.unrouted = around.stats.recorder(
                "destination", UNKNOWN_SOURCE, of_proxy("destination", spec), UNKNOWN_SERVICE
            )

    def greet(self, client: ClientConnection) -> bool:
        """Everybody is welcome."""
        return True

    def protocol(self) -> ClientConnection:
        """For one accepted connection."""
        return ClientConnection(self, self._wheel)  # type: ignore[arg-type]
