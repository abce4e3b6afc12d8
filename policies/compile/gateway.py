"""gateway/<pool>: the listeners of all Gateways that select a pool, merged.

As in Istio, VirtualServices for the same host at a gateway are merged, the older first, and what
takes everything goes last. Which servers are open says `policies.servers`.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tulle.policies import hostnames
from tulle.policies.compile.destinations import ClusterBuilder, Destinations
from tulle.policies.compile.routes import compile_routes
from tulle.policies.compile.server_tls import server_tls
from tulle.policies.config import GatewayConfig, GatewayListener, Redirect, Route, VirtualHost
from tulle.policies.hostnames import HostTable
from tulle.policies.resolve import Index, gateway_name, key_text, spec
from tulle.policies.resources.networking.gateway import Gateway
from tulle.policies.resources.networking.virtual_service import VirtualService
from tulle.policies.servers import OpenServer, open_servers, served_host, servers_by_host
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
    bindings = {binding.gateway.key: binding for binding in inputs.bindings}
    servers = open_servers((b.gateway, spec(b.gateway, Gateway)) for b in inputs.bindings)
    deciders = servers_by_host(servers)
    listeners: list[GatewayListener] = []
    for port in sorted(deciders):
        here = [s for s in servers if s.port == port and s.hosts]
        served = _served(here, bindings)
        redirects = _redirects(served, here, deciders[port])
        hosts = _virtual_hosts(served, redirects, port, builder)
        listeners.append(GatewayListener(port, here[0].protocol, hosts, server_tls(here)))
    return GatewayConfig(inputs.pool, tuple(listeners), builder.clusters())


def _binding(index: Index, gateway: Policy) -> Binding:
    routes = []
    for policy in index.bound_to(gateway):
        namespace = policy.document.namespace
        hosts = (index.qualify(host, namespace) for host in spec(policy, VirtualService).hosts)
        routes.append((policy, tuple(dict.fromkeys(hosts))))
    return Binding(gateway, tuple(routes))


def _served(servers: Iterable[OpenServer], bindings: Mapping[PolicyKey, Binding]) -> Served:
    """The domains of one port and who answers for them."""
    served: Served = {}
    for server in servers:
        for written in server.hosts:
            _bind(served, bindings[server.gateway.key], written)
    return served


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


def _redirects(
    served: Served, servers: Iterable[OpenServer], deciders: HostTable[OpenServer]
) -> dict[str, Route]:
    """The domains whose requests all go to https: those that the most specific server redirects.

    Also without a VirtualService. One of two servers for the same host: the older decides.
    """
    domains = {*served, *(host for s in servers if s.redirects for host in s.plain_hosts)}
    found = {domain: deciders.find(domain) for domain in domains}
    return {
        domain: Route(
            "https-redirect",
            (),
            (),
            source=key_text(server.gateway.key),
            redirect=Redirect(301, scheme="https", derive_port="FROM_PROTOCOL_DEFAULT"),
        )
        for domain, server in found.items()
        if server is not None and server.redirects
    }


def _virtual_hosts(
    served: Served, redirects: Mapping[str, Route], port: int, builder: ClusterBuilder
) -> tuple[VirtualHost, ...]:
    """One virtual host for all domains with the same routes; exact domains first."""
    domains: dict[tuple[Route, ...], list[str]] = defaultdict(list)
    for domain in sorted({*served, *redirects}, key=hostnames.specific_first):
        redirect = redirects.get(domain)
        if redirect is not None:
            domains[(redirect,)].append(domain)
            continue
        domains[_merged(served[domain].values(), port, builder)].append(domain)
    return tuple(VirtualHost(tuple(names), routes) for routes, names in domains.items())


def _merged(
    bound: Iterable[tuple[Policy, set[str]]], port: int, builder: ClusterBuilder
) -> tuple[Route, ...]:
    routes = [
        route
        for policy, gateways in sorted(bound, key=lambda pair: pair[0].age)
        for route in compile_routes(policy, gateways, port, builder.for_port(policy, port))
    ]
    for_all = [route for route in routes if not route.matches]
    return tuple(route for route in routes if route.matches) + tuple(for_all[:1])
