"""Clusters: where requests go, and how connections there are made, limited and ejected."""

from dataclasses import dataclass
from typing import Literal

from tulle.policies.config.labels import Labels

Balancer = Literal["ROUND_ROBIN", "LEAST_REQUEST", "RANDOM"]


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
