"""What a proxy executes: compiled values, their wire form and content hash.

Four kinds, each complete in itself: `hosts`, `outbound/<host>`, `inbound/<namespace>`,
`gateway/<pool>`. Made by `policies.compile`, executed by `policies.decide` and the proxy.
Endpoints are not in here: proxies take them from the registry.
"""

import hashlib
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Literal

import orjson
from pydantic import TypeAdapter, ValidationError

VERSION = 1
Labels = tuple[tuple[str, str], ...]  # sorted by name
Balancer = Literal["ROUND_ROBIN", "LEAST_REQUEST", "RANDOM"]
AUTHORITY = ":authority"


@dataclass(frozen=True, slots=True)
class StringMatch:
    """`value` compared as `kind` says; `present` only asks that the header is there."""

    kind: Literal["exact", "prefix", "regex", "present"]
    value: str = ""
    ignore_case: bool = False


@dataclass(frozen=True, slots=True)
class HttpMatch:
    """All of its conditions must hold. Header names are lower case, query names as written.

    `source_labels` and `source_namespace` are of the proxy that routes, `scheme` of its listener:
    a proxy resolves them when it installs the config (decide.route.Client).
    """

    uri: StringMatch | None = None
    method: StringMatch | None = None
    authority: StringMatch | None = None
    headers: tuple[tuple[str, StringMatch], ...] = ()
    without_headers: tuple[tuple[str, StringMatch], ...] = ()
    query: tuple[tuple[str, StringMatch], ...] = ()
    scheme: StringMatch | None = None
    source_labels: Labels = ()
    source_namespace: str = ""


@dataclass(frozen=True, slots=True)
class HeaderEdits:
    """Edits of one message's headers, in this order: remove, set, add. Names are lower case.

    Set of a request, the name AUTHORITY means its authority, whatever header carries it.
    """

    remove: tuple[str, ...] = ()
    set: tuple[tuple[str, str], ...] = ()
    add: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Edits:
    """Edits of requests and of their responses."""

    request: HeaderEdits | None = None
    response: HeaderEdits | None = None


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """`attempts` more tries at most. `on`: Envoy's names of conditions; `statuses`: codes in it.

    A route without a policy has the mesh's default (decide.plan.DEFAULT_RETRY).
    """

    attempts: int
    per_try_timeout_ms: int | None = None
    on: tuple[str, ...] = ()
    statuses: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Fault:
    """Percentages from 0 to 100. A delay comes first, then the abort."""

    delay_ms: int = 0
    delay_percent: float = 0.0
    abort_status: int = 0
    abort_percent: float = 0.0


@dataclass(frozen=True, slots=True)
class Rewrite:
    """Changes the path (`value` in place of all of it, of `pattern` as a prefix or as a regular
    expression, whose groups `value` names as `\\1`) and the authority."""

    kind: Literal["", "full", "prefix", "regex"] = ""
    pattern: str = ""
    value: str = ""
    authority: str = ""


@dataclass(frozen=True, slots=True)
class Redirect:
    """Answers with `code` and a location; what is empty or 0 is the request's own.

    `prefix`: only this prefix of the path is replaced by `path`.
    """

    code: int = 301
    path: str = ""
    prefix: str = ""
    authority: str = ""
    scheme: str = ""
    port: int = 0
    derive_port: Literal["", "FROM_PROTOCOL_DEFAULT", "FROM_REQUEST_PORT"] = ""


@dataclass(frozen=True, slots=True)
class DirectResponse:
    """Answers with `status` and the base64 of a body."""

    status: int
    body: str = ""


@dataclass(frozen=True, slots=True)
class Target:
    """A share of a route's requests: `weight` of the sum of its route's weights."""

    cluster: str
    weight: int
    edits: Edits | None = None


@dataclass(frozen=True, slots=True)
class Route:
    """Taken when one of `matches` holds (none: always). `source` is `<kind>/<ns>/<name>`.

    It has targets, or answers by itself: `redirect` or `direct`.
    """

    name: str
    matches: tuple[HttpMatch, ...]
    targets: tuple[Target, ...]
    timeout_ms: int | None = None
    source: str = ""
    retry: RetryPolicy | None = None
    fault: Fault | None = None
    rewrite: Rewrite | None = None
    redirect: Redirect | None = None
    direct: DirectResponse | None = None
    edits: Edits | None = None


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Istio's connectionPool; None: no limit, or the proxy's own default for the times."""

    max_connections: int | None = None
    connect_timeout_ms: int | None = None
    tcp_idle_timeout_ms: int | None = None
    idle_timeout_ms: int | None = None  # of a connection without a request
    max_pending_requests: int | None = None
    max_requests: int | None = None  # under way at once
    max_requests_per_connection: int | None = None
    max_retries: int | None = None  # under way at once


@dataclass(frozen=True, slots=True)
class Outlier:
    """When an endpoint is ejected; a count of 0 is off.

    Local failures are connect failures and resets. Without `split` they also count as gateway
    errors and as 5xx, as in Envoy.
    """

    consecutive_5xx: int = 5
    consecutive_gateway: int = 0
    consecutive_local: int = 0
    split: bool = False
    interval_ms: int = 10_000
    base_ejection_ms: int = 30_000
    max_ejection_percent: int = 10
    min_health_percent: int = 0


DEFAULT_OUTLIER = Outlier(
    consecutive_5xx=0,
    consecutive_local=5,
    split=True,
    base_ejection_ms=10_000,
    max_ejection_percent=50,
)
"""Of a cluster without outlierDetection."""


@dataclass(frozen=True, slots=True)
class UpstreamTls:
    """TLS that a proxy originates: SIMPLE proves nothing of itself, MUTUAL shows a certificate.

    Paths are of the proxy's host. An empty `sni` is the cluster's host. Without names in
    `subject_alt_names` the certificate must be for `sni`. Without `ca_certificates` the system's
    roots are trusted. `credential` (gateways alone) names key, certificate and CA in bucket
    `credentials`.
    """

    mode: Literal["SIMPLE", "MUTUAL"]
    sni: str = ""
    subject_alt_names: tuple[str, ...] = ()
    ca_certificates: str = ""
    client_certificate: str = ""
    private_key: str = ""
    credential: str = ""
    insecure_skip_verify: bool = False


@dataclass(frozen=True, slots=True)
class PeerMode:
    """What workloads with `labels` ask of peers, on `port` (0: on all)."""

    labels: Labels
    port: int
    mode: Literal["DISABLE", "PERMISSIVE", "STRICT"]


@dataclass(frozen=True, slots=True)
class StaticEndpoint:
    """An endpoint written in a ServiceEntry; with DNS `address` may be a name."""

    address: str
    port: int
    labels: Labels = ()


@dataclass(frozen=True, slots=True)
class Cluster:
    """Where requests go: the workloads of `service` with `labels`, or the static `endpoints`.

    `name` is Istio's `outbound|<port>|<subset>|<host>`. `service` is `<namespace>/<name>` in the
    registry, empty for a ServiceEntry. `broken` names the reason (policies.reasons) for which
    every request to it is answered locally: `unknown_cluster`, `unknown_subset`.

    `tls` ISTIO_MUTUAL is mTLS with the mesh's identities, but not to workloads for which
    `peer_modes` (empty unless a PeerAuthentication says DISABLE; the first that fits counts) says
    DISABLE, unless `tls_written`: then a DestinationRule says so. `upstream_tls` is of SIMPLE and
    MUTUAL. `dns`: `endpoints` are names, resolved by the proxy again and again. A `protocol` that
    is not `http` takes no HTTP requests.
    """

    name: str
    host: str
    port: int
    subset: str = ""
    service: str = ""
    labels: Labels = ()
    balancer: Balancer = "LEAST_REQUEST"
    endpoints: tuple[StaticEndpoint, ...] = ()
    tls: Literal["ISTIO_MUTUAL", "DISABLE", "SIMPLE", "MUTUAL"] = "ISTIO_MUTUAL"
    tls_written: bool = False
    peer_modes: tuple[PeerMode, ...] = ()
    upstream_tls: UpstreamTls | None = None
    limits: ConnectionLimits | None = None
    outlier: Outlier | None = None  # None: DEFAULT_OUTLIER
    dns: bool = False
    protocol: str = "http"
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
class PeerAuthenticationConfig:
    """A PeerAuthentication: `selector` empty holds for its namespace, or mesh-wide in the root's.

    `mode` empty: unset, inherited. `ports` (service ports, sorted) count before it.
    """

    source: str
    selector: Labels = ()
    mode: Literal["", "DISABLE", "PERMISSIVE", "STRICT"] = ""
    ports: tuple[tuple[int, Literal["", "DISABLE", "PERMISSIVE", "STRICT"]], ...] = ()


@dataclass(frozen=True, slots=True)
class SourceMatch:
    """All conditions that are not empty must hold; of the values of one, any. As Istio's `from`.

    Principals are without `spiffe://`. Values may be exact, `prefix*`, `*suffix` or `*`.
    """

    principals: tuple[str, ...] = ()
    not_principals: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()
    not_namespaces: tuple[str, ...] = ()
    service_accounts: tuple[str, ...] = ()  # `<namespace>/<account>`
    not_service_accounts: tuple[str, ...] = ()
    ip_blocks: tuple[str, ...] = ()  # address or CIDR
    not_ip_blocks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OperationMatch:
    """As SourceMatch; Istio's `to`. Ports are service ports as text."""

    hosts: tuple[str, ...] = ()
    not_hosts: tuple[str, ...] = ()
    ports: tuple[str, ...] = ()
    not_ports: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    not_methods: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    not_paths: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Condition:
    """Istio's `when`: the attribute `key` has one of `values` and none of `not_values`."""

    key: str
    values: tuple[str, ...] = ()
    not_values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AuthorizationRule:
    """Holds when one source, one operation and all conditions do; none of a kind: it always does.

    `name` is `rules[0]`, as reasons name it.
    """

    name: str
    sources: tuple[SourceMatch, ...] = ()
    operations: tuple[OperationMatch, ...] = ()
    conditions: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True)
class AuthorizationConfig:
    """An AuthorizationPolicy; without rules it never matches. `source` as of a Route."""

    source: str
    selector: Labels
    action: Literal["ALLOW", "DENY"]
    rules: tuple[AuthorizationRule, ...] = ()


@dataclass(frozen=True, slots=True)
class InboundConfig:
    """What servers of a namespace ask of their peers, older policies first."""

    namespace: str
    peers: tuple[PeerAuthenticationConfig, ...] = ()
    policies: tuple[AuthorizationConfig, ...] = ()
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
class ServerTls:
    """How TLS ends for the SNI `hosts`: by files of the gateway's host, or by `credential`.

    `credential` names key and certificate (and CA) in bucket `credentials`. MUTUAL asks for a
    client certificate of `ca_certificates`. Versions are empty, TLSV1_2 or TLSV1_3.
    """

    hosts: tuple[str, ...]
    mode: Literal["SIMPLE", "MUTUAL"] = "SIMPLE"
    certificate: str = ""
    private_key: str = ""
    ca_certificates: str = ""
    credential: str = ""
    min_version: Literal["", "TLSV1_2", "TLSV1_3"] = ""
    max_version: Literal["", "TLSV1_2", "TLSV1_3"] = ""


@dataclass(frozen=True, slots=True)
class GatewayListener:
    """One port of a pool of gateways, as written in the policy (80 stays 80).

    `tls` is of HTTPS: the first whose hosts fit the SNI, exact ones before wildcards.
    """

    port: int
    protocol: Literal["HTTP", "HTTPS"]
    virtual_hosts: tuple[VirtualHost, ...]
    tls: tuple[ServerTls, ...] = ()


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
    """The wire form: `{"spec": {...}, "v": 1, "version": <content hash>}`, equal for equals.

    What a config leaves at its default is not written: most routes and clusters say little.
    """
    spec = orjson.dumps(_written(config), option=orjson.OPT_SORT_KEYS)
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


def _written(value: Any) -> Any:
    """Dataclasses as mappings without the fields that have their defaults; `kind` tells configs."""
    if isinstance(value, tuple):
        return [_written(item) for item in value]
    if not is_dataclass(value):
        return value
    return {
        field.name: _written(given)
        for field in fields(value)
        if (given := getattr(value, field.name)) != field.default or field.name == "kind"
    }


def _route_inconsistencies(routes: list[Route], clusters: tuple[Cluster, ...]) -> list[str]:
    names = [cluster.name for cluster in clusters]
    known = set(names)
    missing = {t.cluster for route in routes for t in route.targets if t.cluster not in known}
    empty = [
        route.name
        for route in routes
        if not (route.redirect or route.direct) and sum(t.weight for t in route.targets) <= 0
    ]
    return (
        [f"cluster {name} appears twice" for name in _repeated(names)]
        + [f"cluster {name} is routed to and not there" for name in sorted(missing)]
        + [f"route {name} has no weight" for name in empty]
    )


def _repeated(names: list[str]) -> list[str]:
    return sorted({name for name in names if names.count(name) > 1})
