"""What a VirtualService refers to and is not there, and which older one decided before it.

Part of `validate.py`, for the kind that refers most.
"""

from collections.abc import Iterator

from tulle.policies import hostnames
from tulle.policies.compile.clusters import compile_cluster
from tulle.policies.compile.destinations import destination_port
from tulle.policies.compile.upstream_tls import TLS_PORTS
from tulle.policies.problems import Path, Problem, did_you_mean, listed
from tulle.policies.resolve import (
    MESH,
    Backend,
    Index,
    full_gateway_name,
    gateways_of,
    spec,
    takes_all,
)
from tulle.policies.resources.networking.common import Destination
from tulle.policies.resources.networking.destination_rule import DestinationRule
from tulle.policies.resources.networking.virtual_service import VirtualService
from tulle.policies.world import Policy


def route_references(index: Index, policy: Policy) -> Iterator[Problem]:
    """Warnings about hosts, gateways, destinations, ports and subsets of a VirtualService."""
    service = spec(policy, VirtualService)
    document = policy.document
    gateways = gateways_of(policy)
    for position, host in enumerate(service.hosts):
        full = index.qualify(host, document.namespace)
        if MESH in gateways:
            yield from _mesh_host(index, policy, ("spec", "hosts", position), full)
    for position, name in enumerate(service.gateways):
        path: Path = ("spec", "gateways", position)
        full = full_gateway_name(name, document.namespace)
        yield from _bound_gateway(index, policy, path, full)
    for position, rule in enumerate(service.http):
        for number, share in enumerate(rule.route):
            path = ("spec", "http", position, "route", number, "destination")
            yield from _destination(index, policy, path, share.destination)


def _mesh_host(index: Index, policy: Policy, path: Path, host: str) -> Iterator[Problem]:
    document = policy.document
    first = index.mesh_routes_named(host)[0]
    if first.key != policy.key:
        message = f"{host} is already routed by the older {first.key}; these routes are not used"
        yield document.problem("conflict", path, message, "warning")
    elif host.endswith(index.suffix) and not index.backend(host).known:
        if not hostnames.is_wildcard(host):
            yield document.problem("missing-reference", path, no_host(index, host), "warning")


def _bound_gateway(index: Index, policy: Policy, path: Path, name: str) -> Iterator[Problem]:
    if name == MESH:
        return
    document = policy.document
    gateway = index.gateway(name)
    if gateway is None:
        known = index.gateway_names()
        message = f"there is no Gateway {name} (yet); nothing reaches these routes through it."
        message += did_you_mean(name, known) or f" Known: {listed(known[:20])}"
        yield document.problem("missing-reference", path, message, "warning")
        return
    domains = index.domains_of(gateway, policy)
    if not domains:
        message = f"no server of Gateway {name} serves one of these hosts for this namespace"
        yield document.problem("missing-reference", path, message, "warning")
    if not takes_all(policy):
        return
    for domain in sorted(domains):
        first = index.taken_by(gateway)[domain]
        if first.key != policy.key:
            message = (
                f"the older {first.key} already takes every request for {domain} at Gateway "
                f"{name}; the rule without a match is not used for it"
            )
            yield document.problem("conflict", path, message, "warning")


def _destination(
    index: Index, policy: Policy, path: Path, destination: Destination
) -> Iterator[Problem]:
    document = policy.document
    host = index.qualify(destination.host, document.namespace)
    backend = index.backend(host)
    if not backend.known:
        message = f"{no_host(index, host)} Requests to it get 503 unknown_cluster until it is."
        yield document.problem("missing-reference", (*path, "host"), message, "warning")
        return
    numbers = [port.number for port in backend.ports]
    port = destination_port(destination, backend, numbers[0] if numbers else 0)
    if port not in numbers:
        ports = listed(map(str, numbers))
        message = f"{host} has no port {port}; it has {ports}; requests get 503 unknown_cluster"
        yield document.problem("missing-reference", (*path, "port"), message, "warning")
    if destination.subset is not None and backend.subset(destination.subset) is None:
        message = _no_subset(backend, destination.subset)
        yield document.problem("missing-reference", (*path, "subset"), message, "warning")
    if _takes_no_http(backend, port, destination.subset or ""):
        message = (
            f"port {port} of {host} expects TLS and no DestinationRule originates it (mode SIMPLE "
            "or MUTUAL); requests sent there are refused until one does"
        )
        yield document.problem("missing-reference", (*path, "port"), message, "warning")


def _takes_no_http(backend: Backend, number: int, subset: str) -> bool:
    tls_ports = (port.number for port in backend.ports if port.protocol in TLS_PORTS)
    # Only for such ports: a cluster has all endpoints.
    return number in tls_ports and compile_cluster(backend, number, subset).protocol in TLS_PORTS


def no_host(index: Index, host: str) -> str:
    """The sentence about a host that the mesh does not have."""
    near = did_you_mean(host, (known for known in index.hosts if known != host))
    return f"{host} is no service or ServiceEntry of the mesh (yet).{near}"


def _no_subset(backend: Backend, subset: str) -> str:
    names = [s.name for rule in backend.rules for s in spec(rule, DestinationRule).subsets]
    there = f"subsets there: {listed(names)}" if backend.rules else "it has no DestinationRule"
    near = did_you_mean(subset, names)
    return (
        f"no DestinationRule of {backend.host} has the subset {subset} (yet); {there}; "
        f"requests to it get 503 unknown_subset until one has it.{near}"
    )
