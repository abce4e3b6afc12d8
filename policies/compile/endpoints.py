"""The endpoints of a ServiceEntry's host: those that it lists, or by DNS the host itself."""

from tulle.policies.config import Labels, StaticEndpoint
from tulle.policies.resolve import Backend, spec
from tulle.policies.resources.networking.service_entry import ServiceEntry
from tulle.policies.world import Port


def by_dns(backend: Backend) -> bool:
    """Whether the proxy has to resolve the endpoints' addresses."""
    return backend.entry is not None and spec(backend.entry, ServiceEntry).resolution == "DNS"


def static_endpoints(backend: Backend, port: Port, labels: Labels) -> tuple[StaticEndpoint, ...]:
    """The endpoints with `labels` of a port, sorted; () for a service, whose are in the registry.

    An endpoint listens on its own number for the port's name, else on the port's targetPort.
    """
    if backend.entry is None:
        return ()
    entry = spec(backend.entry, ServiceEntry)
    targets = {written.number: written.target_port for written in entry.ports}
    number = targets.get(port.number) or port.number
    endpoints = {
        StaticEndpoint(
            e.address or "", e.ports.get(port.name, number), tuple(sorted(e.labels.items()))
        )
        for e in entry.endpoints or ()
    }
    if not entry.endpoints and by_dns(backend):
        endpoints = {StaticEndpoint(backend.host, number)}
    return tuple(sorted((e for e in endpoints if set(labels) <= set(e.labels)), key=_order))


def _order(endpoint: StaticEndpoint) -> tuple[str, int, Labels]:
    return endpoint.address, endpoint.port, endpoint.labels
