"""A gateway edge between a fake client and fake upstream connections, on a manual loop."""

from dataclasses import replace

from tests.support.fake_loop import FakeTransport, ManualLoop
from tests.support.serving_plane import spec, static_cluster
from tulle.actors.proxy.accesslog import AccessLog
from tulle.actors.proxy.client import ClientConnection
from tulle.actors.proxy.cluster import Cluster
from tulle.actors.proxy.edge import Surroundings
from tulle.actors.proxy.gateway import GatewayEdge
from tulle.actors.proxy.outbox import Outbox
from tulle.actors.proxy.pool import Endpoint, Waiter
from tulle.actors.proxy.stats import Stats
from tulle.actors.proxy.trace import Tracer
from tulle.actors.proxy.upstream import UpstreamConnection
from tulle.actors.proxy.wheel import Wheel
from tulle.policies import config as configs
from tulle.policies.decide.route import compile_routes
from tulle.policies.reasons import Reason


class NoDialer:
    """Never asked: `Bench` connects."""

    generation = 0

    async def __call__(self, endpoint: Endpoint) -> UpstreamConnection:
        raise AssertionError("a bench connects by hand")


class HandEndpoint(Endpoint):
    """Connections to it are made by the test: `connect` or `fail`."""

    __slots__ = ("room", "transports")

    def __init__(self, name: str, wheel: Wheel) -> None:
        super().__init__(name, 80, NoDialer(), wheel)
        self.transports: list[FakeTransport] = []
        self.room = True

    @property
    def waiting(self) -> int:
        return len(self._waiters)

    def wait(self, waiter: Waiter) -> bool:
        if self.room:
            self._waiters[waiter] = None
        return self.room

    def connect(self) -> FakeTransport:
        """A connection for the first that waits, or to be idle."""
        upstream = UpstreamConnection(self, 0)
        transport = FakeTransport(upstream)
        self.transports.append(transport)
        if self._waiters:
            waiter = next(iter(self._waiters))
            del self._waiters[waiter]
            waiter.connected(upstream)
        else:
            upstream.reused = True
            self.take_back(upstream)
        return transport

    def fail(self, reason: Reason) -> None:
        """No connection for the first that waits."""
        waiter = next(iter(self._waiters))
        del self._waiters[waiter]
        waiter.connect_failed(reason)


class Bench:
    """One client, one edge that sends everything to `endpoints`."""

    def __init__(
        self,
        endpoints: int = 1,
        timeout_ms: int | None = None,
        access_log: AccessLog | None = None,
    ) -> None:
        self.loop = ManualLoop()
        self.wheel = Wheel(self.loop)
        self.stats = Stats()
        around = Surroundings(
            spec(),
            self.wheel,
            Outbox(self.loop),
            self.stats,
            Tracer(bytes),
            lambda: 0.0,
            access_log,
        )
        config = replace(static_cluster(), balancer="ROUND_ROBIN")
        self.cluster = Cluster(config, self.stats.recorder("source"), lambda: 0.0)
        self.endpoints = [HandEndpoint(f"e{n}", self.wheel) for n in range(endpoints)]
        self.cluster.endpoints = tuple(self.endpoints)
        self.edge = GatewayEdge(around)
        route = configs.Route("all", (), (configs.Target(config.name, 1),), timeout_ms)
        self.edge.choose = compile_routes([route], {config.name: self.cluster})
        self.connection = self.edge.protocol()
        self.client = FakeTransport(self.connection)

    @property
    def endpoint(self) -> HandEndpoint:
        return self.endpoints[0]

    def send(self, data: bytes) -> None:
        """The client sends; a turn of the loop follows."""
        self.connection.data_received(data)
        self.loop.turn()

    def answer(self, upstream: FakeTransport, data: bytes) -> None:
        """An upstream sends; a turn of the loop follows."""
        upstream.protocol.data_received(data)
        self.loop.turn()

    def another_client(self) -> tuple[ClientConnection, FakeTransport]:
        connection = self.edge.protocol()
        return connection, FakeTransport(connection)

    def counted(self) -> dict[tuple[str, str], float]:
        """Requests by response code and flag."""
        return {
            (it.labels["response_code"], it.labels["response_flags"]): it.value
            for it in self.stats.snapshot(False)
            if it.name == "istio_requests_total"
        }
