"""What a proxy executes: compiled values, their wire form and content hash.

Four kinds, each complete in itself: `hosts`, `outbound/<host>`, `inbound/<namespace>`,
`gateway/<pool>`. Made by `policies.compile`, executed by `policies.decide` and the proxy.
Endpoints are not in here: proxies take them from the registry.
"""

import hashlib
from dataclasses import dataclass
from typing import Literal

import orjson
from pydantic import TypeAdapter, ValidationError

VERSION = 1
Labels = tuple[tuple[str, str], ...]  # sorted by name
Balancer = Literal["ROUND_ROBIN", "LEAST_REQUEST", "RANDOM"]


@dataclass(frozen=True, slots=True)
class StringMatch:
    """`value` compared as `kind` says; `present` only asks that the header is there."""

    kind: Literal["exact", "prefix", "regex", "present"]
    value: str = ""
    ignore_case: bool = False


@dataclass(frozen=True, slots=True)
class HttpMatch:
    """All of its conditions must hold. Header names are lower case."""

    uri: StringMatch | None = None
    method: StringMatch | None = None
    authority: StringMatch | None = None
    headers: tuple[tuple[str, StringMatch], ...] = ()


@dataclass(frozen=True, slots=True)
class Target:
    """A share of a route's requests: `weight` of the sum of its route's weights."""

    cluster: str
    weight: int


@dataclass(frozen=True, slots=True)
class Route:
    """Taken when one of `matches` holds (none: always). `source` is `<kind>/<ns>/<name>`."""

    name: str
    matches: tuple[HttpMatch, ...]
    targets: tuple[Target, ...]
    timeout_ms: int | None = None
    source: str = ""


@dataclass(frozen=True, slots=True)
class StaticEndpoint:
    """An endpoint written in a ServiceEntry."""

    address: str
    port: int
    labels: Labels = ()


@dataclass(frozen=True, slots=True)
class Cluster:
    """Where requests go: the workloads of `service` with `labels`, or the static `endpoints`.

    `name` is Istio's `outbound|<port>|<subset>|<host>`. `service` is `<namespace>/<name>` in the
    registry, empty for a ServiceEntry. `broken` names the reason (policies.reasons) for which
    every request to it is answered locally: `unknown_cluster`, `unknown_subset`.
    """

    name: str
    host: str
    port: int
    subset: str = ""
    service: str = ""
    labels: Labels = ()
    balancer: Balancer = "LEAST_REQUEST"
    endpoints: tuple[StaticEndpoint, ...] = ()
    tls: Literal["ISTIO_MUTUAL", "DISABLE"] = "ISTIO_MUTUAL"
    broken: Literal["", "unknown_cluster", "unknown_subset"] = ""


@dataclass(frozen=True, slots=True)
class PortRoutes:
    """The routes of one port of a host, in order."""

    port: int
    protocol: str
    routes: tuple[Route, ...]


@dataclass(frozen=True, slots=True)
class HostEntry:
    """One host of the mesh; `key` is the host whose `outbound` config serves it."""

    host: str
    namespace: str
    key: str
    export_to: tuple[str, ...] = ("*",)


@dataclass(frozen=True, slots=True)
class HostsConfig:
    """Every host of the mesh, exact and wildcard, sorted. Short names are derived from it."""

    hosts: tuple[HostEntry, ...] = ()
    kind: Literal["hosts"] = "hosts"

    def inconsistencies(self) -> list[str]:
        """What must never be: said as sentences, empty when all is well."""
        names = [entry.host for entry in self.hosts]
        return [f"host {name} appears twice" for name in _repeated(names)]


@dataclass(frozen=True, slots=True)
class OutboundConfig:
    """What clients do with requests to `host`."""

    host: str
    namespace: str
    ports: tuple[PortRoutes, ...]
    clusters: tuple[Cluster, ...]
    kind: Literal["outbound"] = "outbound"

    def inconsistencies(self) -> list[str]:
        """What must never be: said as sentences, empty when all is well."""
        routes = [route for port in self.ports for route in port.routes]
        return _route_inconsistencies(routes, self.clusters)


@dataclass(frozen=True, slots=True)
class InboundConfig:
    """What servers of a namespace ask of their peers."""

    namespace: str
    mtls: Literal["STRICT"] = "STRICT"
    kind: Literal["inbound"] = "inbound"

    def inconsistencies(self) -> list[str]:
        """What must never be: said as sentences, empty when all is well."""
        return []


@dataclass(frozen=True, slots=True)
class VirtualHost:
    """`domains` are exact hosts, `*.suffix` or `*`; the most specific virtual host is taken."""

    domains: tuple[str, ...]
    routes: tuple[Route, ...]


@dataclass(frozen=True, slots=True)
class GatewayListener:
    """One port of a pool of gateways, as written in the policy (80 stays 80)."""

    port: int
    protocol: Literal["HTTP"]
    virtual_hosts: tuple[VirtualHost, ...]


@dataclass(frozen=True, slots=True)
class GatewayConfig:
    """All Gateways that select the pool, merged."""

    pool: str
    listeners: tuple[GatewayListener, ...] = ()
    clusters: tuple[Cluster, ...] = ()
    kind: Literal["gateway"] = "gateway"

    def inconsistencies(self) -> list[str]:
        """What must never be: said as sentences, empty when all is well."""
        routes = [
            route
            for listener in self.listeners
            for host in listener.virtual_hosts
            for route in host.routes
        ]
        return _route_inconsistencies(routes, self.clusters)


Config = HostsConfig | OutboundConfig | InboundConfig | GatewayConfig
_ADAPTER: TypeAdapter[Config] = TypeAdapter(Config)


def key(config: Config) -> tuple[str, ...]:
    """The parts of the config's key: `("hosts",)`, `("outbound", host)`, ..."""
    match config:
        case HostsConfig():
            return ("hosts",)
        case OutboundConfig():
            return ("outbound", config.host)
        case InboundConfig():
            return ("inbound", config.namespace)
        case GatewayConfig():
            return ("gateway", config.pool)


def encode(config: Config) -> bytes:
    """The wire form: `{"spec": {...}, "v": 1, "version": <content hash>}`, equal for equals."""
    spec = orjson.dumps(config, option=orjson.OPT_SORT_KEYS)
    digest = hashlib.sha256(spec).hexdigest()[:16]
    return b'{"spec":%b,"v":%d,"version":"%b"}' % (spec, VERSION, digest.encode())


def decode(data: bytes) -> Config:
    """The config of its wire form; ValueError says what is wrong with it."""
    wire = orjson.loads(data)
    if not isinstance(wire, dict) or wire.get("v") != VERSION:
        raise ValueError(f"config of version {VERSION} expected, not {data[:80]!r}")
    try:
        return _ADAPTER.validate_python(wire["spec"])
    except ValidationError as error:
        raise ValueError(f"not a config: {error}") from error


def _route_inconsistencies(routes: list[Route], clusters: tuple[Cluster, ...]) -> list[str]:
    names = [cluster.name for cluster in clusters]
    known = set(names)
    missing = {t.cluster for route in routes for t in route.targets if t.cluster not in known}
    empty = [route.name for route in routes if sum(t.weight for t in route.targets) <= 0]
    return (
        [f"cluster {name} appears twice" for name in _repeated(names)]
        + [f"cluster {name} is routed to and not there" for name in sorted(missing)]
        + [f"route {name} has no weight" for name in empty]
    )


def _repeated(names: list[str]) -> list[str]:
    return sorted({name for name in names if names.count(name) > 1})
