"""gateway/<pool>: the listeners of all Gateways that select a pool, merged.

As in Istio, VirtualServices for the same host at a gateway are merged, the older first, and what
takes everything goes last.
"""

from collections import defaultdict
from dataclasses import dataclass

from tulle.policies import hostnames
from tulle.policies.compile.destinations import ClusterBuilder, Destinations
from tulle.policies.compile.routes import compile_routes
from tulle.policies.config import GatewayConfig, GatewayListener, Route, VirtualHost
from tulle.policies.resolve import Index, gateway_name, served_host, spec
from tulle.policies.resources.networking.gateway import Gateway
from tulle.policies.resources.networking.virtual_service import VirtualService
from tulle.policies.world import Policy, PolicyKey, Pool

Served = dict[str, dict[PolicyKey, tuple[Policy, set[str]]]]
"""By domain: the VirtualServices that answer for it, and at which Gateways."""


@dataclass(frozen=True, slots=True)
class Binding:
    """A Gateway and the VirtualServices bound to it, with their hosts as full names."""

    gateway: Policy
    routes: tuple[tuple[Policy, tuple[str, ...]], ...]


@dataclass(frozen=True, slots=True)
class GatewayInputs:
    """All that the config of a pool is compiled from: equal inputs, equal config."""

    pool: str
    bindings: tuple[Binding, ...]
    destinations: Destinations


def gateway_inputs(index: Index, pool: Pool) -> GatewayInputs:
    """What decides about a pool of gateways."""
    bindings = tuple(_binding(index, gateway) for gateway in index.gateways_for(pool))
    policies = [policy for binding in bindings for policy, _ in binding.routes]
    return GatewayInputs(pool.name, bindings, Destinations.of(index, policies))


def compile_gateway(inputs: GatewayInputs) -> GatewayConfig:
    """The config of one pool: a listener per port, virtual hosts by domain."""
    builder = inputs.destinations.clusters()
    ports: dict[int, Served] = {}
    for binding in inputs.bindings:
        for server in spec(binding.gateway, Gateway).servers:
            served = ports.setdefault(server.port.number, {})
            for written in server.hosts:
                _bind(served, binding, written)
    listeners = (
        GatewayListener(port, "HTTP", _virtual_hosts(ports[port], port, builder))
        for port in sorted(ports)
    )
    return GatewayConfig(inputs.pool, tuple(listeners), builder.clusters())


def _binding(index: Index, gateway: Policy) -> Binding:
    routes = []
    for policy in index.bound_to(gateway):
        namespace = policy.document.namespace
        hosts = (index.qualify(host, namespace) for host in spec(policy, VirtualService).hosts)
        routes.append((policy, tuple(dict.fromkeys(hosts))))
    return Binding(gateway, tuple(routes))


def _bind(served: Served, binding: Binding, written: str) -> None:
    """Notes which VirtualServices answer for the domains that a server's host and theirs share."""
    namespace, pattern = served_host(written, binding.gateway.document.namespace)
    for policy, hosts in binding.routes:
        if namespace not in ("*", policy.document.namespace):
            continue
        for host in hosts:
            if (domain := hostnames.intersection(pattern, host)) is not None:
                gateways = served.setdefault(domain, {}).setdefault(policy.key, (policy, set()))[1]
                gateways.add(gateway_name(binding.gateway))


def _virtual_hosts(served: Served, port: int, builder: ClusterBuilder) -> tuple[VirtualHost, ...]:
    """One virtual host for all domains with the same routes; exact domains first."""
    domains: dict[tuple[Route, ...], list[str]] = defaultdict(list)
    for domain in sorted(served, key=hostnames.specific_first):
        domains[_merged(list(served[domain].values()), port, builder)].append(domain)
    return tuple(VirtualHost(tuple(names), routes) for routes, names in domains.items())


def _merged(
    bound: list[tuple[Policy, set[str]]], port: int, builder: ClusterBuilder
) -> tuple[Route, ...]:
    routes = [
        route
        for policy, gateways in sorted(bound, key=lambda pair: pair[0].age)
        for route in compile_routes(policy, gateways, port, builder.for_port(policy, port))
    ]
    for_all = [route for route in routes if not route.matches]
    return tuple(route for route in routes if route.matches) + tuple(for_all[:1])
