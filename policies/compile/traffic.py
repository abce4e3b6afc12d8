"""The traffic policy of a cluster: which DestinationRule's part counts, in the form of config.

As in Istio: of the rules of a host the first with a trafficPolicy; a subset's parts (loadBalancer,
connectionPool, outlierDetection, tls) replace the host's one by one; settings for the port replace
all four, what they leave out is at its default. Counterpart: `upstream_tls.py` for the part tls.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from tulle.policies.config import Balancer, ConnectionLimits, Outlier
from tulle.policies.resolve import Backend, spec
from tulle.policies.resources.base import MILLISECOND, nanoseconds
from tulle.policies.resources.networking.connection_pool import (
    ConnectionPool,
    HttpSettings,
    TcpSettings,
)
from tulle.policies.resources.networking.destination_rule import (
    ClientTls,
    DestinationRule,
    PortTrafficPolicy,
    Subset,
    TrafficPolicy,
)
from tulle.policies.resources.networking.load_balancer import LoadBalancer
from tulle.policies.resources.networking.outlier import OutlierDetection

_BALANCERS: Mapping[str, Balancer] = {
    "ROUND_ROBIN": "ROUND_ROBIN",
    "RANDOM": "RANDOM",
    "LEAST_REQUEST": "LEAST_REQUEST",
    "LEAST_CONN": "LEAST_REQUEST",
    "UNSPECIFIED": "LEAST_REQUEST",
}


@dataclass(frozen=True, slots=True)
class Traffic:
    """The four parts of a traffic policy that hold for one cluster; None: not written."""

    load_balancer: LoadBalancer | None = None
    connection_pool: ConnectionPool | None = None
    outlier_detection: OutlierDetection | None = None
    tls: ClientTls | None = None


def traffic_of(backend: Backend, port: int, subset: Subset | None = None) -> Traffic:
    """What holds for requests to a port, and subset, of `backend`."""
    rules = (spec(rule, DestinationRule).traffic_policy for rule in backend.rules)
    of_host = next((policy for policy in rules if policy is not None), None)
    traffic = _overridden(Traffic(), of_host, port)
    return traffic if subset is None else _overridden(traffic, subset.traffic_policy, port)


def _overridden(traffic: Traffic, policy: TrafficPolicy | None, port: int) -> Traffic:
    if policy is None:
        return traffic
    for settings in policy.port_level_settings:
        if settings.port is not None and settings.port.number == port:
            return _parts(settings)
    return Traffic(
        policy.load_balancer or traffic.load_balancer,
        policy.connection_pool or traffic.connection_pool,
        policy.outlier_detection or traffic.outlier_detection,
        policy.tls or traffic.tls,
    )


def _parts(policy: PortTrafficPolicy) -> Traffic:
    return Traffic(
        policy.load_balancer, policy.connection_pool, policy.outlier_detection, policy.tls
    )


def balancer_of(balancer: LoadBalancer | None) -> Balancer:
    """How endpoints are picked; LEAST_REQUEST unless said."""
    return _BALANCERS[(balancer and balancer.simple) or "UNSPECIFIED"]


def limits_of(pool: ConnectionPool | None) -> ConnectionLimits | None:
    """The limits of a connection pool, None when it sets none. A number of 0 is none, as in Istio.

    The idle time of HTTP is that of TCP unless it has an own.
    """
    if pool is None:
        return None
    tcp, http = pool.tcp or TcpSettings(), pool.http or HttpSettings()
    limits = ConnectionLimits(
        max_connections=tcp.max_connections or None,
        connect_timeout_ms=milliseconds(tcp.connect_timeout),
        tcp_idle_timeout_ms=milliseconds(tcp.idle_timeout),
        idle_timeout_ms=milliseconds(http.idle_timeout or tcp.idle_timeout),
        max_pending_requests=http.http1_max_pending_requests or None,
        max_requests=http.http2_max_requests or None,
        max_requests_per_connection=http.max_requests_per_connection or None,
        max_retries=http.max_retries or None,
    )
    return None if limits == ConnectionLimits() else limits


def outlier_of(written: OutlierDetection | None) -> Outlier | None:
    """When endpoints are ejected; what is not written has Envoy's default.

    The old `consecutiveErrors` counts gateway errors alone, as in Istio. Local failures have a
    count of their own only with `splitExternalLocalOriginErrors`.
    """
    if written is None:
        return None
    old = written.consecutive_errors or 0
    split = bool(written.split_external_local_origin_errors)
    local = _or(written.consecutive_local_origin_failures, 5)
    default = Outlier()
    return Outlier(
        consecutive_5xx=_or(written.consecutive_5xx_errors, 0 if old else default.consecutive_5xx),
        consecutive_gateway=_or(written.consecutive_gateway_errors, old),
        consecutive_local=local if split else 0,
        split=split,
        interval_ms=_or(milliseconds(written.interval), default.interval_ms),
        base_ejection_ms=_or(milliseconds(written.base_ejection_time), default.base_ejection_ms),
        # 0 is what Istio's schema means by unset.
        max_ejection_percent=written.max_ejection_percent or default.max_ejection_percent,
        min_health_percent=written.min_health_percent or 0,
    )


def milliseconds(duration: str | None) -> int | None:
    """`1.5s` -> 1500; None stays None."""
    return None if duration is None else nanoseconds(duration) // MILLISECOND


def _or(value: int | None, default: int) -> int:
    return default if value is None else value
