"""Clusters: where a route's requests go, with the DestinationRules of the host inlined."""

from collections.abc import Iterable, Iterator, Mapping

from tulle.policies.compile.peer_modes import peer_modes
from tulle.policies.config import Balancer, Cluster, Labels, StaticEndpoint
from tulle.policies.resolve import Backend, spec
from tulle.policies.resources.networking.destination_rule import (
    DestinationRule,
    Subset,
    TrafficPolicy,
)
from tulle.policies.resources.networking.service_entry import ServiceEntry
from tulle.policies.world import Port

_BALANCERS: Mapping[str, Balancer] = {
    "ROUND_ROBIN": "ROUND_ROBIN",
    "RANDOM": "RANDOM",
    "LEAST_REQUEST": "LEAST_REQUEST",
    "LEAST_CONN": "LEAST_REQUEST",
    "UNSPECIFIED": "LEAST_REQUEST",
}


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
    return Cluster(
        name,
        backend.host,
        number,
        subset,
        service=f"{service.namespace}/{service.name}" if service is not None else "",
        labels=labels,
        balancer=_balancer(backend, chosen),
        endpoints=_static_endpoints(backend, port, labels),
        tls="ISTIO_MUTUAL" if service is not None else "DISABLE",
        peer_modes=peer_modes(backend, number, labels),
    )


def labels_of(labels: Mapping[str, str]) -> Labels:
    """Labels as config holds them: sorted."""
    return tuple(sorted(labels.items()))


def _balancer(backend: Backend, subset: Subset | None) -> Balancer:
    # A subset's traffic policy replaces the host's, field by field.
    policies = [subset.traffic_policy] if subset is not None else []
    policies += [spec(rule, DestinationRule).traffic_policy for rule in backend.rules]
    simple = next(_simple(policies), "UNSPECIFIED")
    return _BALANCERS[simple]


def _simple(policies: Iterable[TrafficPolicy | None]) -> Iterator[str]:
    for policy in policies:
        if policy and policy.load_balancer and policy.load_balancer.simple:
            yield policy.load_balancer.simple


def _static_endpoints(backend: Backend, port: Port, labels: Labels) -> tuple[StaticEndpoint, ...]:
    if backend.service is not None or backend.entry is None:
        return ()
    endpoints = (
        StaticEndpoint(e.address or "", e.ports.get(port.name, port.number), labels_of(e.labels))
        for e in spec(backend.entry, ServiceEntry).endpoints or ()
    )
    return tuple(sorted(set(e for e in endpoints if set(labels) <= set(e.labels)), key=_order))


def _order(endpoint: StaticEndpoint) -> tuple[str, int, Labels]:
    return endpoint.address, endpoint.port, endpoint.labels
