"""Everything of a proxy that serves traffic, without bus, holder and Ray.

Configs and identity are installed between requests, in one step each; requests under way end as
they were decided. Counterpart: actors.proxy.actor, which installs and connects the doors.
"""

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from tulle.actors.proxy import passthrough, tls
from tulle.actors.proxy.cluster import Cluster
from tulle.actors.proxy.dial import Identify, MeshDialer, PlainDialer
from tulle.actors.proxy.edge import BaseEdge, Surroundings
from tulle.actors.proxy.endpoints import EndpointBook, app_endpoint
from tulle.actors.proxy.gateway import GatewayEdge
from tulle.actors.proxy.inbound import InboundEdge, app_cluster
from tulle.actors.proxy.outbound import OutboundEdge
from tulle.actors.proxy.outbox import Outbox
from tulle.actors.proxy.passthrough import Passthrough, Resolve
from tulle.actors.proxy.spec import PortSpec, ProxySpec
from tulle.actors.proxy.stats import Stats
from tulle.actors.proxy.trace import Tracer
from tulle.actors.proxy.wheel import Wheel
from tulle.bus.messages import ServiceRecord
from tulle.policies.config import (
    GatewayConfig,
    HostsConfig,
    InboundConfig,
    OutboundConfig,
    key,
)
from tulle.policies.decide.hosts import HostIndex
from tulle.policies.decide.route import Chooser, compile_routes, compile_virtual_hosts


@dataclass(frozen=True, slots=True)
class Drained:
    """How the connections of a drain ended: by themselves, idle at the deadline, or cut short."""

    finished: int = 0
    idle: int = 0
    cut: int = 0


class Plane:
    """One per proxy. All methods belong to `loop`."""

    def __init__(
        self,
        spec: ProxySpec,
        *,
        loop: asyncio.AbstractEventLoop,
        want_host: Callable[[str], None],
        resolve: Resolve = passthrough.resolve,
        client_context: Callable[[tls.Identity], ssl.SSLContext] = tls.client_context,
        identify: Identify = tls.peer_spiffe_id,
    ) -> None:
        """`want_host`: asks for the outbound config of a host. The rest is injected by tests."""
        self.stats = Stats(mesh=spec.mesh, counting=spec.telemetry)
        self._spec = spec
        self._around = Surroundings(spec, Wheel(loop), Outbox(loop), self.stats, Tracer())
        self._identify = identify
        self._plain = PlainDialer()
        self._mesh = MeshDialer(client_context, identify)
        self._book = EndpointBook(self._around, self._plain, self._mesh)
        through = Passthrough(self._around, self._plain, resolve, self._book.is_listener)
        self._outbound = OutboundEdge(self._around, through, want_host)
        self._inbound = {port.service: self._inbound_edge(port) for port in spec.ports}
        self._gateways: dict[int, GatewayEdge] = {}
        self._choosers: dict[int, Chooser[Cluster]] = {}

    # Configuration.

    def install_hosts(self, config: HostsConfig) -> None:
        """The hosts of the mesh."""
        self._outbound.install_index(HostIndex(config, self._spec.namespace))

    def install_outbound(self, config: OutboundConfig) -> None:
        """What to do with requests to a host; those that wait for it go on."""
        clusters = self._book.install(key(config), config.clusters)
        routes = {it.port: compile_routes(it.routes, clusters) for it in config.ports}
        self._outbound.install(config.host, routes)

    def remove_outbound(self, host: str) -> None:
        """The host is unknown, or long unused."""
        self._outbound.remove(host)
        self._book.remove(("outbound", host))

    def install_inbound(self, config: InboundConfig) -> None:
        """What this namespace asks of its peers: mTLS, which nothing here does without."""

    def install_gateway(self, config: GatewayConfig) -> None:
        """Routes of all ports of the gateway; a port that is not in it has none any more."""
        clusters = self._book.install(key(config), config.clusters)
        self._choosers = {
            it.port: compile_virtual_hosts(it.virtual_hosts, clusters) for it in config.listeners
        }
        for port, edge in self._gateways.items():
            edge.choose = self._choosers.get(port)

    def install_service(self, record: ServiceRecord) -> None:
        """The workloads of a service, also for clusters that are installed later."""
        self._book.install_service(record)

    def install_identity(self, identity: tls.Identity) -> None:
        """New connections to the mesh use it; those of the old one end with their request."""
        self._mesh.install(identity)
        self._book.install_identity()

    # Serving: a protocol for each accepted connection.

    def outbound_protocol(self) -> asyncio.Protocol:
        """For the app's requests."""
        return self._outbound.protocol()

    def inbound_protocol(self, service_port: int) -> asyncio.Protocol:
        """For peers' requests to a port of the workload, which must be one of its spec."""
        return self._inbound[service_port].protocol()

    def gateway_protocol(self, port: int) -> asyncio.Protocol:
        """For requests from outside, to a port as the policy writes it."""
        edge = self._gateways.get(port)
        if edge is None:
            edge = self._gateways[port] = GatewayEdge(self._around)
            edge.choose = self._choosers.get(port)
        return edge.protocol()

    async def drain(self, which: Literal["inbound", "all"], seconds: float) -> Drained:
        """Each answer is its connection's last; at the deadline what is left is closed."""
        edges: list[BaseEdge] = list(self._inbound.values())
        if which == "all":
            edges += [self._outbound, *self._gateways.values()]
        before = sum(len(edge.connections) for edge in edges)
        await asyncio.gather(*(edge.drain(seconds) for edge in edges))
        left = [client for edge in edges for client in edge.connections]
        idle = [client for client in left if client.idle]
        for client in left:
            if client.idle:
                client.close()
            else:
                client.abort()
        return Drained(max(0, before - len(left)), len(idle), len(left) - len(idle))

    def _inbound_edge(self, port: PortSpec) -> InboundEdge:
        around = self._around
        config = app_cluster(port.app)
        # Counted per peer, not here.
        app = Cluster(config, around.stats.recorder("destination"), around.uniform)
        app.endpoints = (app_endpoint(port.app, self._plain, around),)
        return InboundEdge(around, app, self._identify)
