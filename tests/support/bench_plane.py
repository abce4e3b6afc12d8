"""A gateway edge between a fake client and fake upstream connections, on a manual loop."""

from dataclasses import replace

from tests.support.fake_loop import FakeTransport, ManualLoop
from tests.support.serving_plane import spec, static_cluster
from tulle.actors.proxy.accesslog import AccessLog
from tulle.actors.proxy.client import ClientConnection
from tulle.actors.proxy.cluster import Cluster, LimitedCluster
from tulle.actors.proxy.edge import Surroundings
from tulle.actors.proxy.ejection import Ejection
from tulle.actors.proxy.gateway import GatewayEdge
from tulle.actors.proxy.limits import LimitedEndpoint, Limits
from tulle.actors.proxy.outbox import Outbox
from tulle.actors.proxy.pool import Endpoint, Waiter
from tulle.actors.proxy.stats import Stats
from tulle.actors.proxy.trace import Tracer
from tulle.actors.proxy.upstream import UpstreamConnection
from tulle.actors.proxy.wheel import Wheel
from tulle.policies import config as configs
from tulle.policies.decide.plan import DEFAULT_RETRY, Plan, Retry
from tulle.policies.decide.route import Choice
from tulle.policies.reasons import Reason


class NoDialer:
    """Never asked: `Bench` connects."""

    generation = 0

    async def __call__(self, endpoint: Endpoint, address: str = "") -> UpstreamConnection:
        raise AssertionError("a bench connects by hand")


class ByHand(Endpoint):
    """Connections to it are made by the test: `connect` or `fail`."""

    __slots__ = ()

    @property
    def waiting(self) -> int:
        return len(self._waiters)

    def _dial_soon(self) -> None:
        """The test does it."""

    def connect(self) -> FakeTransport:
        """A connection for the first that waits, or to be idle."""
        upstream = UpstreamConnection(self, self._dial.generation)
        upstream.reused = not self._waiters
        transport = FakeTransport(upstream)
        self._dialled(upstream)
        return transport

    def fail(self, reason: Reason) -> None:
        """No connection for the first that waits."""
        self._dial_failed(reason)


class HandEndpoint(ByHand):
    """One without limits. `room`: requests may wait."""

    __slots__ = ("room",)

    def __init__(self, name: str, wheel: Wheel) -> None:
        super().__init__(name, 80, NoDialer(), wheel)
        self.room = True

    def wait(self, waiter: Waiter) -> bool:
        return self.room and super().wait(waiter)


class HandLimitedEndpoint(LimitedEndpoint, ByHand):
    """One with limits. `dials`: connections that it wants made and that are not."""

    __slots__ = ()

    def __init__(self, name: str, wheel: Wheel, limits: Limits) -> None:
        super().__init__(name, 80, NoDialer(), wheel, limits)

    @property
    def dials(self) -> int:
        return self._dialling


class Bench:
    """One client, one edge that sends everything to `endpoints`, by one choice."""

    def __init__(
        self,
        endpoints: int = 1,
        timeout_ms: int | None = None,
        access_log: AccessLog | None = None,
        *,
        retry: Retry = DEFAULT_RETRY,
        plan: Plan | None = None,
        outlier: configs.Outlier = configs.DEFAULT_OUTLIER,
    ) -> None:
        self.loop = ManualLoop()
        self.wheel = Wheel(self.loop)
        self.stats = Stats()
        self.uniform = 0.0  # what is drawn
        around = Surroundings(
            spec(),
            self.wheel,
            Outbox(self.loop),
            self.stats,
            Tracer(bytes),
            lambda: self.uniform,
            access_log,
        )
        self.cluster = self.make_cluster(outlier)
        self.endpoints = [HandEndpoint(f"e{n}", self.wheel) for n in range(endpoints)]
        self.cluster.endpoints = tuple(self.endpoints)
        self.edge = GatewayEdge(around)
        self.edge.port = 80
        self.choose(retry, plan, timeout_ms)
        self.connection = self.edge.protocol()
        self.client = FakeTransport(self.connection)

    def make_cluster(self, outlier: configs.Outlier) -> Cluster:
        config = replace(static_cluster(), balancer="ROUND_ROBIN")
        recorder = self.stats.recorder("source")
        return Cluster(config, recorder, lambda: 0.0, Ejection(self.wheel, outlier))

    def choose(self, retry: Retry, plan: Plan | None, timeout_ms: int | None = None) -> None:
        """What all requests from now on are sent by."""
        config = self.cluster.config
        route = configs.Route("all", (), (configs.Target(config.name, 1),), timeout_ms)
        timeout = None if timeout_ms is None else timeout_ms / 1_000
        choice = Choice(self.cluster, timeout, route, retry, plan)
        self.edge.choose = lambda method, path, authority, headers, uniform: choice

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

    def waiting(self) -> HandEndpoint:
        """The one endpoint where a request waits."""
        (waiting,) = [endpoint for endpoint in self.endpoints if endpoint.waiting]
        return waiting

    def connect(self) -> FakeTransport:
        """A connection for the one request that waits."""
        transport = self.waiting().connect()
        self.loop.turn()
        return transport

    def idle(self) -> None:
        """Asserts that nothing is under way, and nothing is counted as if it were."""
        assert all(it.active == it.waiting == 0 for it in self.endpoints)


class LimitedBench(Bench):
    """A bench whose cluster has limits; its endpoints are `limited`."""

    def __init__(
        self,
        limits: configs.ConnectionLimits,
        endpoints: int = 1,
        *,
        retry: Retry = DEFAULT_RETRY,
    ) -> None:
        self.limits = Limits(limits)
        super().__init__(0, retry=retry)
        self.limited = [
            HandLimitedEndpoint(f"e{n}", self.wheel, self.limits) for n in range(endpoints)
        ]
        self.cluster.endpoints = tuple(self.limited)

    def make_cluster(self, outlier: configs.Outlier) -> Cluster:
        config = replace(static_cluster(), balancer="ROUND_ROBIN")
        recorder = self.stats.recorder("source")
        return LimitedCluster(config, recorder, lambda: 0.0, Ejection(self.wheel), self.limits)

    def idle(self) -> None:
        """As of other benches; what is left are idle connections."""
        limits = self.limits
        assert (limits.active, limits.pending, limits.retries) == (0, 0, 0)
        assert limits.connections == sum(len(it.idle) + it.dials for it in self.limited)
