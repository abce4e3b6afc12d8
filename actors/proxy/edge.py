"""What the edges of a proxy have in common; each decides about the requests of one listener."""

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from random import random

from tulle.actors.proxy.accesslog import AccessLog
from tulle.actors.proxy.bound import Bound
from tulle.actors.proxy.client import ClientConnection
from tulle.actors.proxy.exchange import Exchange
from tulle.actors.proxy.labels import UNKNOWN_DESTINATION, UNKNOWN_SERVICE, UNKNOWN_SOURCE, of_proxy
from tulle.actors.proxy.outbox import Outbox
from tulle.actors.proxy.spec import ProxySpec
from tulle.actors.proxy.stats import Recorder, Reporter, Stats
from tulle.actors.proxy.tls import parse_spiffe
from tulle.actors.proxy.trace import Tracer
from tulle.actors.proxy.wheel import Wheel
from tulle.actors.proxy.wire.request_head import PEER_HEADER
from tulle.policies.decide.authorize import Authorizer, Caller, Denial
from tulle.policies.decide.match import Headers
from tulle.policies.reasons import CONNECT_NOT_SUPPORTED


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every edge of one proxy shares."""

    spec: ProxySpec
    wheel: Wheel
    outbox: Outbox
    stats: Stats
    tracer: Tracer
    uniform: Callable[[], float] = random
    access_log: AccessLog | None = None


class BaseEdge(ABC):
    """Connections, draining, who may ask, and the recorder of requests that go nowhere.

    `port` is the service port, 0 where it depends on the request.
    """

    def __init__(self, around: Surroundings, reporter: Reporter, port: int = 0) -> None:
        spec = around.spec
        self.draining = False
        self.connections: set[ClientConnection] = set()
        self.empty = asyncio.Event()
        self.uniform = around.uniform
        self.tracer = around.tracer
        self.peer_line = b"%b: %b" % (PEER_HEADER, spec.id.encode())
        self.port = port
        self._authorizer: Authorizer | None = None
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

    def connect(self, exchange: Exchange) -> None:
        """Decides about a CONNECT, which is for those alone who know better."""
        exchange.refuse(CONNECT_NOT_SUPPORTED)

    def recorder_of(self, exchange: Exchange) -> Recorder:
        """What counts a request that is denied."""
        return self.unrouted

    def greet(self, client: ClientConnection) -> bool:
        """Everybody is welcome."""
        self.connections.add(client)
        if self._around.access_log is not None:
            client.log = self._around.access_log.of(client)
        if self._authorizer is not None:
            self._bind(client)
        return True

    def install_authorizer(self, authorizer: Authorizer | None) -> None:
        """Decides about the next request of each connection; None: no policy selects this."""
        if self._authorizer is not None or authorizer is not None:
            self._authorizer = authorizer
            for client in self.connections:
                self._bind(client)

    def leave(self, client: ClientConnection) -> None:
        """The next answer is the connection's last."""
        if not isinstance(client.edge, Bound):
            client.edge = Bound(self)
        client.edge.leaves = True

    def bar(self, client: ClientConnection, bar: bool = True) -> None:
        """The next request of a connection ends it, an idle one closes; or it may stay again."""
        if bar and client.idle:
            client.close()
        elif bar and not isinstance(client.edge, Bound):
            client.edge = Bound(self, barred=True)
        elif isinstance(client.edge, Bound):
            client.edge.barred = bar

    def _bind(self, client: ClientConnection) -> None:
        authorize = None
        if self._authorizer is not None:
            try:
                authorize = self._authorizer.bind(self._caller(client))
            except ValueError:  # a caller without an IP address, which a policy asks for
                authorize = _deny_all
        if isinstance(client.edge, Bound):
            client.edge.authorize = authorize
        elif authorize is not None:
            client.edge = Bound(self, authorize)

    def _caller(self, client: ClientConnection) -> Caller:
        spiffe = parse_spiffe(client.principal)
        return Caller(
            principal=client.principal.removeprefix("spiffe://"),
            namespace=spiffe.namespace if spiffe else "",
            account=spiffe.account if spiffe else "",
            address=client.peername.decode(),
            port=self.port,
            sni=client.sni,
        )

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

    def protocol(self, sni: str = "") -> ClientConnection:
        """For one accepted connection; `sni` as its TLS hello said."""
        client = ClientConnection(self, self._around.wheel, self._around.outbox)
        client.sni = sni
        return client


def _deny_all(method: bytes, path: bytes, authority: bytes, headers: Headers) -> Denial | None:
    return Denial("", "", "A policy asks for the caller's address, which is not known.")
