"""DestinationRule: what happens to requests after routing, by host and subset."""

from typing import ClassVar, Literal

from pydantic import Field

from tulle.policies.resources.base import Maybe, Resource, UInt32
from tulle.policies.resources.networking.common import PortSelector
from tulle.policies.resources.networking.connection_pool import ConnectionPool
from tulle.policies.resources.networking.load_balancer import LoadBalancer
from tulle.policies.resources.networking.outlier import OutlierDetection, RetryBudget


class ClientTls(Resource):
    """How connections to the upstream are secured."""

    mode: Maybe[Literal["DISABLE", "SIMPLE", "MUTUAL", "ISTIO_MUTUAL"]] = None
    client_certificate: Maybe[str] = None
    private_key: Maybe[str] = None
    ca_certificates: Maybe[str] = None
    ca_crl: Maybe[str] = None
    credential_name: Maybe[str] = None
    subject_alt_names: tuple[str, ...] = ()
    sni: Maybe[str] = None
    insecure_skip_verify: bool | None = None


class Tunnel(Resource):
    """Upstream connections go through a CONNECT or POST tunnel."""

    protocol: Maybe[str] = None
    target_host: str
    target_port: UInt32


class ProxyProtocol(Resource):
    """The PROXY protocol towards the upstream."""

    version: Maybe[Literal["V1", "V2"]] = None


class PortTrafficPolicy(Resource):
    """A traffic policy for one port."""

    port: Maybe[PortSelector] = None
    load_balancer: Maybe[LoadBalancer] = None
    connection_pool: Maybe[ConnectionPool] = None
    outlier_detection: Maybe[OutlierDetection] = None
    tls: Maybe[ClientTls] = None


class TrafficPolicy(Resource):
    """Load balancing, connection pools, ejection and TLS towards a destination."""

    load_balancer: Maybe[LoadBalancer] = None
    connection_pool: Maybe[ConnectionPool] = None
    outlier_detection: Maybe[OutlierDetection] = None
    tls: Maybe[ClientTls] = None
    port_level_settings: tuple[PortTrafficPolicy, ...] = Field(default=(), max_length=4096)
    tunnel: Maybe[Tunnel] = None
    proxy_protocol: Maybe[ProxyProtocol] = None
    retry_budget: Maybe[RetryBudget] = None


class Subset(Resource):
    """The workloads of a host that carry all of `labels`, under a name for routes."""

    name: str
    labels: dict[str, str] = Field(default_factory=dict)
    traffic_policy: Maybe[TrafficPolicy] = None


class WorkloadSelector(Resource):
    """The clients that the rule is for."""

    match_labels: dict[str, str] = Field(default_factory=dict)


class DestinationRule(Resource):
    """The `spec` of a DestinationRule."""

    kind: ClassVar[Literal["DestinationRule"]] = "DestinationRule"

    host: str
    traffic_policy: Maybe[TrafficPolicy] = None
    subsets: tuple[Subset, ...] = ()
    export_to: tuple[str, ...] = ()
    workload_selector: Maybe[WorkloadSelector] = None
