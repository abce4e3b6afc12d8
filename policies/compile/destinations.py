"""The destinations of routes: full host names, what stands behind them, the clusters they need."""

from collections.abc import Iterable
from dataclasses import dataclass

from tulle.policies.compile.clusters import compile_cluster
from tulle.policies.compile.routes import ClusterOf, destinations
from tulle.policies.config import Cluster
from tulle.policies.resolve import Backend, Index
from tulle.policies.resources.networking.common import Destination
from tulle.policies.world import Policy


@dataclass(frozen=True, slots=True)
class Destinations:
    """Every host that some VirtualServices send to, as written (with the writer's namespace)."""

    backends: tuple[tuple[tuple[str, str], Backend], ...]

    @classmethod
    def of(cls, index: Index, policies: Iterable[Policy]) -> "Destinations":
        """The destinations of these VirtualServices, as the world knows them."""
        written = {
            (policy.document.namespace, destination.host)
            for policy in policies
            for destination in destinations(policy)
        }
        return cls(
            tuple(
                ((namespace, host), index.backend(index.qualify(host, namespace)))
                for namespace, host in sorted(written)
            )
        )

    def clusters(self) -> "ClusterBuilder":
        """A builder of the clusters that routes to these destinations name."""
        return ClusterBuilder(dict(self.backends))


class ClusterBuilder:
    """Collects the clusters of one config while its routes are compiled."""

    def __init__(self, backends: dict[tuple[str, str], Backend]) -> None:
        self._backends = backends
        self._clusters: dict[str, Cluster] = {}

    def add(self, cluster: Cluster) -> str:
        """Keeps a cluster and returns its name."""
        self._clusters[cluster.name] = cluster
        return cluster.name

    def for_port(self, policy: Policy, request_port: int) -> ClusterOf:
        """Names clusters for the destinations of `policy` when a request came to `request_port`."""

        def cluster_of(destination: Destination) -> str:
            backend = self._backends[policy.document.namespace, destination.host]
            port = destination_port(destination, backend, request_port)
            return self.add(compile_cluster(backend, port, destination.subset or ""))

        return cluster_of

    def clusters(self) -> tuple[Cluster, ...]:
        """All clusters so far, sorted by name."""
        return tuple(self._clusters[name] for name in sorted(self._clusters))


def destination_port(destination: Destination, backend: Backend, request_port: int) -> int:
    """The port as written; else the backend's only one; else the one that the request came to."""
    if destination.port is not None and destination.port.number is not None:
        return destination.port.number
    return backend.ports[0].number if len(backend.ports) == 1 else request_port
