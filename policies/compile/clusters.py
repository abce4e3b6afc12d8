"""Clusters: where a route's requests go, with the DestinationRules of the host inlined."""

from collections.abc import Mapping

from tulle.policies.compile.endpoints import by_dns, static_endpoints
from tulle.policies.compile.peer_modes import peer_modes
from tulle.policies.compile.traffic import balancer_of, limits_of, outlier_of, traffic_of
from tulle.policies.compile.upstream_tls import security_of
from tulle.policies.config import Cluster, Labels
from tulle.policies.resolve import Backend


def cluster_name(host: str, port: int, subset: str) -> str:
    """Istio's name of a cluster."""
    return f"outbound|{port}|{subset}|{host}"


def compile_cluster(backend: Backend, number: int, subset: str = "") -> Cluster:
    """The cluster of a port and subset of `backend`; `broken` when there is no such thing."""
    name = cluster_name(backend.host, number, subset)
    port = next((port for port in backend.ports if port.number == number), None)
    if port is None:
        return Cluster(name, backend.host, number, subset, broken="unknown_cluster")
    chosen = backend.subset(subset) if subset else None
    if subset and chosen is None:
        return Cluster(name, backend.host, number, subset, broken="unknown_subset")
    labels = labels_of(chosen.labels) if chosen is not None else ()
    service = backend.service
    traffic = traffic_of(backend, number, chosen)
    security = security_of(traffic.tls, in_mesh=service is not None)
    return Cluster(
        name,
        backend.host,
        number,
        subset,
        service=f"{service.namespace}/{service.name}" if service is not None else "",
        labels=labels,
        balancer=balancer_of(traffic.load_balancer),
        endpoints=static_endpoints(backend, port, labels),
        tls=security.tls,
        tls_written=security.written,
        peer_modes=peer_modes(backend, number, labels),
        upstream_tls=security.upstream,
        limits=limits_of(traffic.connection_pool),
        outlier=outlier_of(traffic.outlier_detection),
        dns=by_dns(backend),
        protocol=security.protocol(port.protocol),
    )


def labels_of(labels: Mapping[str, str]) -> Labels:
    """Labels as config holds them: sorted."""
    return tuple(sorted(labels.items()))
