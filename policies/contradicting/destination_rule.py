"""What a DestinationRule says and can't mean."""

from collections.abc import Iterator

from tulle.policies import hostnames
from tulle.policies.contradicting.client_tls import client_tls
from tulle.policies.contradicting.common import HOST_RULE, SUBSET, duplicates
from tulle.policies.parse import Document
from tulle.policies.problems import Path, Problem
from tulle.policies.resources.networking.connection_pool import (
    ConnectionPool,
    HttpSettings,
    TcpSettings,
)
from tulle.policies.resources.networking.destination_rule import (
    DestinationRule,
    PortTrafficPolicy,
    TrafficPolicy,
)
from tulle.policies.resources.networking.outlier import OutlierDetection

_TCP = (("max_connections", "maxConnections"),)
_HTTP = (
    ("http1_max_pending_requests", "http1MaxPendingRequests"),
    ("http2_max_requests", "http2MaxRequests"),
    ("max_requests_per_connection", "maxRequestsPerConnection"),
    ("max_retries", "maxRetries"),
)
_PERCENTS = (
    ("max_ejection_percent", "maxEjectionPercent"),
    ("min_health_percent", "minHealthPercent"),
)


def destination_rule(document: Document, rule: DestinationRule) -> Iterator[Problem]:
    """Host, subsets, and all traffic policies."""
    if not hostnames.is_host(rule.host):
        yield document.problem("schema", ("spec", "host"), HOST_RULE)
    yield from _traffic_policy(document, ("spec", "trafficPolicy"), rule.traffic_policy)
    names = [subset.name for subset in rule.subsets]
    for position, subset in enumerate(rule.subsets):
        path = ("spec", "subsets", position)
        if not SUBSET.fullmatch(subset.name):
            message = "must be letters, digits and - (at most 63)"
            yield document.problem("schema", (*path, "name"), message)
        yield from _traffic_policy(document, (*path, "trafficPolicy"), subset.traffic_policy)
    yield from duplicates(document, ("spec", "subsets"), "name", "the subset", names)


def _traffic_policy(
    document: Document, path: Path, policy: TrafficPolicy | None
) -> Iterator[Problem]:
    if policy is None:
        return
    yield from _parts(document, path, policy)
    seen: dict[int, int] = {}
    for position, settings in enumerate(policy.port_level_settings):
        where = (*path, "portLevelSettings", position)
        number = settings.port.number if settings.port is not None else None
        if number is None or not 1 <= number <= 65535:
            message = "must have port.number from 1 to 65535"
            yield document.problem("schema", (*where, "port"), message)
        elif seen.setdefault(number, position) != position:
            message = f"the port {number} is already given by item {seen[number]}"
            yield document.problem("duplicate", (*where, "port"), message)
        yield from _parts(document, where, settings)


def _parts(
    document: Document, path: Path, policy: TrafficPolicy | PortTrafficPolicy
) -> Iterator[Problem]:
    if policy.connection_pool is not None:
        yield from _pool(document, (*path, "connectionPool"), policy.connection_pool)
    if policy.outlier_detection is not None:
        yield from _outlier(document, (*path, "outlierDetection"), policy.outlier_detection)
    if policy.tls is not None:
        yield from client_tls(document, (*path, "tls"), policy.tls)


def _pool(document: Document, path: Path, pool: ConnectionPool) -> Iterator[Problem]:
    tcp, http = pool.tcp or TcpSettings(), pool.http or HttpSettings()
    yield from _not_negative(document, (*path, "tcp"), tcp, _TCP)
    yield from _not_negative(document, (*path, "http"), http, _HTTP)


def _outlier(document: Document, path: Path, outlier: OutlierDetection) -> Iterator[Problem]:
    names = (("consecutive_errors", "consecutiveErrors"),)
    yield from _not_negative(document, path, outlier, names)
    for field, name in _PERCENTS:
        value: int | None = getattr(outlier, field)
        if value is not None and not 0 <= value <= 100:
            yield document.problem("schema", (*path, name), f"must be from 0 to 100, not {value}")
    local = outlier.consecutive_local_origin_failures
    if local is not None and not outlier.split_external_local_origin_errors:
        where = (*path, "consecutiveLocalOriginFailures")
        message = "has no effect without splitExternalLocalOriginErrors: true"
        yield document.problem("contradiction", where, message, "warning")


def _not_negative(
    document: Document,
    path: Path,
    settings: TcpSettings | HttpSettings | OutlierDetection,
    names: tuple[tuple[str, str], ...],
) -> Iterator[Problem]:
    for field, name in names:
        value: int | None = getattr(settings, field)
        if value is not None and value < 0:
            yield document.problem("schema", (*path, name), f"must not be negative, not {value}")
