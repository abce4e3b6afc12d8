"""outbound/<host>: what clients in the mesh do with requests to one host."""

from dataclasses import dataclass

from tulle.policies.compile.clusters import compile_cluster
from tulle.policies.compile.destinations import Destinations
from tulle.policies.compile.routes import compile_routes
from tulle.policies.config import OutboundConfig, PortRoutes, Route, Target
from tulle.policies.resolve import MESH, Backend, Index
from tulle.policies.world import Policy, Port

PLAIN_HTTP = (Port(80, "http", "http"),)
"""The ports of a host that only a VirtualService names, as in Istio."""


@dataclass(frozen=True, slots=True)
class OutboundInputs:
    """All that the config of a host is compiled from: equal inputs, equal config."""

    backend: Backend
    namespace: str
    routes: Policy | None
    destinations: Destinations


def outbound_inputs(index: Index, host: str, namespace: str) -> OutboundInputs:
    """What decides about `host`, a full name out of `index.hosts`."""
    candidates = index.mesh_routes(host)
    routes = candidates[0] if candidates else None
    destinations = Destinations.of(index, candidates[:1])
    return OutboundInputs(index.backend(host), namespace, routes, destinations)


def compile_outbound(inputs: OutboundInputs) -> OutboundConfig:
    """The config of one host: the routes of each of its ports and all clusters they name."""
    backend = inputs.backend
    builder = inputs.destinations.clusters()
    ports: list[PortRoutes] = []
    for port in backend.ports if backend.known else PLAIN_HTTP:
        routes: tuple[Route, ...] = ()
        if inputs.routes is not None and port.protocol == "http":
            cluster_of = builder.for_port(inputs.routes, port.number)
            routes = compile_routes(inputs.routes, {MESH}, port.number, cluster_of)
        if not routes and backend.known:
            default = builder.add(compile_cluster(backend, port.number))
            routes = (Route("default", (), (Target(default, 1),)),)
        ports.append(PortRoutes(port.number, port.protocol, routes))
    return OutboundConfig(backend.host, inputs.namespace, tuple(ports), builder.clusters())
