"""Everything of a proxy that serves traffic, without bus, holder and Ray.

Configs and identity are installed between requests, in one step each; requests under way end as
they were decided. Counterpart: actors.proxy.actor, which installs and connects the doors.
"""

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from tulle.actors.proxy import passthrough, tls
from tulle.actors.proxy.accesslog import AccessLog
from tulle.actors.proxy.cluster import Cluster, for_requests
from tulle.actors.proxy.connect import Connector, tcp_clusters
from tulle.actors.proxy.dial import Identify, MeshDialer, PlainDialer
from tulle.actors.proxy.edge import BaseEdge, Surroundings
from tulle.actors.proxy.endpoints import EndpointBook, app_endpoint
from tulle.actors.proxy.gateway import GatewayEdge
from tulle.actors.proxy.inbound import InboundEdge, app_cluster
from tulle.actors.proxy.inbound_tcp import InboundTcpEdge
from tulle.actors.proxy.linefile import LineFile
from tulle.actors.proxy.material import Materials
from tulle.actors.proxy.outbound import OutboundEdge
from tulle.actors.proxy.outbox import Outbox
from tulle.actors.proxy.passthrough import Passthrough, Resolve
from tulle.actors.proxy.security import Dialers
from tulle.actors.proxy.server_tls import ServerContexts
from tulle.actors.proxy.spec import PortSpec, ProxySpec, access_log_name
from tulle.actors.proxy.stats import Stats
from tulle.actors.proxy.trace import Tracer
from tulle.actors.proxy.tunnel import Tunnels
from tulle.actors.proxy.wheel import Wheel
from tulle.bus.keeping import CredentialRecord
from tulle.bus.messages import ServiceRecord
from tulle.policies.config import (
    GatewayConfig,
    HostsConfig,
    InboundConfig,
    OutboundConfig,
    key,
)
from tulle.policies.decide.authorize import Authorizer, compile_authorizer
from tulle.policies.decide.hosts import HostIndex
from tulle.policies.decide.peers import Mode, mode_of
from tulle.policies.decide.route import (
    Chooser,
    Client,
    compiling_routes,
    compiling_virtual_hosts,
)
from tulle.policies.steps import Steps, finished

ROOT_NAMESPACE: Final = "istio-system"


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
        self._lines = _lines(spec, loop)
        access_log = AccessLog(self._lines, spec.access_log) if self._lines else None
        self._around = Surroundings(
            spec, Wheel(loop), Outbox(loop), self.stats, Tracer(), access_log=access_log
        )
        self._identify = identify
        self._plain = PlainDialer()
        self._materials = Materials()
        self._servers = ServerContexts(self._materials)
        self._mesh = MeshDialer(client_context, identify)
        dialers = Dialers(self._plain, self._mesh, self._materials, resolve)
        self._book = EndpointBook(self._around, dialers)
        through = Passthrough(self._around, self._plain, resolve, self._book.is_listener)
        self._tunnels = Tunnels()
        connector = Connector(self._around, self._mesh, self._tunnels)
        self._outbound = OutboundEdge(self._around, through, connector, want_host)
        self._inbound = {
            port.service: self._inbound_edge(port) for port in spec.ports if port.protocol != "tcp"
        }
        self._inbound_tcp = {
            port.service: self._inbound_tcp_edge(port)
            for port in spec.ports
            if port.protocol == "tcp"
        }
        self._asked: dict[str, InboundConfig] = {}  # by namespace
        self._authorizer: Authorizer | None = None
        self._gateways: dict[int, GatewayEdge] = {}
        self._choosers: dict[int, Chooser[Cluster]] = {}

    # Configuration.

    def install_hosts(self, config: HostsConfig) -> None:
        """The hosts of the mesh."""
        self._outbound.install_index(HostIndex(config, self._spec.namespace))

    def install_outbound(self, config: OutboundConfig) -> None:
        """What to do with requests to a host; those that wait for it go on."""
        finished(self.installing_outbound(config))

    def installing_outbound(self, config: OutboundConfig) -> Steps[None]:
        """`install_outbound` in steps; requests meet the old routes until the last."""
        installed = self._book.install(key(config), config.clusters)
        tcp = tcp_clusters(config, installed)
        clusters, client = for_requests(installed), self._client("HTTP")
        routes = {}
        for it in config.ports:
            routes[it.port] = yield from compiling_routes(it.routes, clusters, client)
        self._outbound.install(config.host, routes, tcp)

    def remove_outbound(self, host: str) -> None:
        """The host is unknown, or long unused."""
        self._outbound.remove(host)
        self._book.remove(("outbound", host))

    def install_inbound(self, config: InboundConfig) -> None:
        """What a namespace, the proxy's own or the root's, asks of peers and their requests."""
        self._asked[config.namespace] = config
        asked, spec = [self._asked[name] for name in sorted(self._asked)], self._spec
        where = (ROOT_NAMESPACE, spec.namespace, spec.labels)
        self._authorizer = compile_authorizer(asked, *where)
        for port, edge in self._inbound.items():
            edge.install_mode(mode_of(asked, *where, port))
        edges: list[BaseEdge] = [*self._inbound.values(), *self._gateways.values()]
        for each in edges:
            each.install_authorizer(self._authorizer)
        for tcp in self._inbound_tcp.values():
            tcp.install_authorizer(self._authorizer)

    def install_gateway(self, config: GatewayConfig) -> None:
        """Routes of all ports of the gateway; a port that is not in it has none any more."""
        finished(self.installing_gateway(config))

    def installing_gateway(self, config: GatewayConfig) -> Steps[None]:
        """`install_gateway` in steps; requests meet the old routes until the last."""
        clusters = for_requests(self._book.install(key(config), config.clusters))
        choosers = {}
        for it in config.listeners:
            client = self._client(it.protocol)
            compiling = compiling_virtual_hosts(it.virtual_hosts, clusters, client)
            choosers[it.port] = yield from compiling
        self._choosers = choosers
        self._servers.install(config.listeners)
        for port, edge in self._gateways.items():
            edge.choose = self._choosers.get(port)
            edge.install_servers(self._servers.names(port))

    def install_credential(self, record: CredentialRecord) -> None:
        """A certificate that the gateway's config names, for new connections."""
        self._materials.install(record)
        self.refresh_files()

    def remove_credential(self, name: str) -> None:
        """It is there no more; its names refuse new connections."""
        self._materials.remove(name)
        self.refresh_files()

    def refresh_files(self) -> None:
        """Uses certificates whose files have changed."""
        self._servers.refresh()

    @property
    def problems(self) -> tuple[str, ...]:
        """What of the config can't be carried out, in sentences."""
        return self._servers.problems

    def install_service(self, record: ServiceRecord) -> None:
        """The workloads of a service, also for clusters that are installed later."""
        self._book.install_service(record)

    def install_identity(self, identity: tls.Identity) -> None:
        """New connections to the mesh use it; those of the old one end with their request."""
        self._mesh.install(identity)
        self._book.install_identity()
        for edge in self._inbound.values():
            edge.renew()

    # Serving: a protocol for each accepted connection.

    def outbound_protocol(self) -> asyncio.Protocol:
        """For the app's requests."""
        return self._outbound.protocol()

    def inbound_protocol(self, service_port: int, sni: str = "") -> asyncio.Protocol:
        """For peers' requests to a port of the workload, which must be one of its spec."""
        if (tcp := self._inbound_tcp.get(service_port)) is not None:
            return tcp.protocol()
        return self._inbound[service_port].protocol(sni)

    def gateway_protocol(self, port: int, sni: str = "") -> asyncio.Protocol:
        """For requests from outside, to a port as the policy writes it."""
        edge = self._gateways.get(port)
        if edge is None:
            edge = self._gateways[port] = GatewayEdge(self._around, port)
            edge.choose = self._choosers.get(port)
            edge.install_servers(self._servers.names(port))
            edge.install_authorizer(self._authorizer)
        return edge.protocol(sni)

    def inbound_mode(self, service_port: int) -> Mode:
        """Who is let in at a port of the workload."""
        if service_port in self._inbound_tcp:
            return "STRICT"
        return self._inbound[service_port].mode

    def gateway_mode(self, port: int) -> Mode:
        """STRICT: TLS alone; DISABLE: plain alone."""
        return "STRICT" if self._servers.encrypted(port) else "DISABLE"

    def gateway_context(self, port: int, sni: str) -> ssl.SSLContext | None:
        """How a handshake at an HTTPS port goes; None: it is refused."""
        return self._servers.choose(port, sni)

    async def drain(self, which: Literal["inbound", "all"], seconds: float) -> Drained:
        """Each answer is its connection's last; at the deadline what is left is closed."""
        edges: list[BaseEdge] = list(self._inbound.values())
        if which == "all":
            edges += [self._outbound, *self._gateways.values()]
        tunnels = [edge.tunnels for edge in self._inbound_tcp.values()]
        if which == "all":
            tunnels.append(self._tunnels)
        before = sum(len(edge.connections) for edge in edges)
        before += sum(len(some.open) for some in tunnels)
        drains = [edge.drain(seconds) for edge in edges]
        await asyncio.gather(*drains, *(some.drain(seconds) for some in tunnels))
        cut = sum(some.cut() for some in tunnels)
        for edge in self._inbound_tcp.values():
            edge.close()
        left = [client for edge in edges for client in edge.connections]
        idle = [client for client in left if client.idle]
        for client in left:
            if client.idle:
                client.close()
            else:
                client.abort()
        if self._lines is not None:
            await asyncio.sleep(0)  # the lines of those that were just closed
            await self._lines.close()
        cut += len(left) - len(idle)
        return Drained(max(0, before - len(idle) - cut), len(idle), cut)

    def _client(self, protocol: Literal["HTTP", "HTTPS"]) -> Client:
        scheme: Literal["http", "https"] = "https" if protocol == "HTTPS" else "http"
        return Client(self._spec.namespace, self._spec.labels, scheme)

    def _inbound_edge(self, port: PortSpec) -> InboundEdge:
        around = self._around
        config = app_cluster(port.app)
        # Counted per peer, not here.
        app = Cluster(config, around.stats.recorder("destination"), around.uniform)
        app.endpoints = (app_endpoint(port.app, self._plain, around),)
        return InboundEdge(around, app, self._identify, port.service)

    def _inbound_tcp_edge(self, port: PortSpec) -> InboundTcpEdge:
        app = app_endpoint(port.app, self._plain, self._around)
        return InboundTcpEdge(self._around, app, self._plain, self._identify, port.service)


def _lines(spec: ProxySpec, loop: asyncio.AbstractEventLoop) -> LineFile | None:
    """Where the access log goes; nowhere without a folder for logs."""
    if spec.access_log == "off" or not spec.log_folder:
        return None
    return LineFile(Path(spec.log_folder) / f"{access_log_name(spec.id)}.log", loop)
