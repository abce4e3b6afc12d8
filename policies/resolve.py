"""Which policy applies to which host and gateway, and in what order: the world, indexed.

Rules: a more specific host before a wildcard; then the older policy (creation revision, ties by
namespace and name). DestinationRules of a host's own namespace come before those of others, and
those of one namespace for the same host are merged, as in Istio. Counterparts: `compile/` builds
config from what is found here, `validate.py` warns of what was passed over.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from tulle.policies import hostnames
from tulle.policies.hostnames import HostTable
from tulle.policies.resources.kinds import Spec
from tulle.policies.resources.networking.destination_rule import DestinationRule, Subset
from tulle.policies.resources.networking.gateway import Gateway
from tulle.policies.resources.networking.service_entry import ServiceEntry
from tulle.policies.resources.networking.virtual_service import VirtualService
from tulle.policies.resources.security.peer_authentication import PeerAuthentication
from tulle.policies.servers import OpenServer, open_servers, served_host
from tulle.policies.world import Policy, PolicyKey, Pool, Port, Service, World

MESH = "mesh"
"""The reserved gateway name that stands for all sidecars."""

S = TypeVar("S", bound=Spec)


def spec(policy: Policy, kind: type[S]) -> S:
    """The policy's spec as the kind that the caller knows it to be."""
    resource = policy.document.resource
    if not isinstance(resource, kind):
        raise TypeError(f"{policy.key} is no {kind.__name__}")
    return resource


@dataclass(frozen=True, slots=True)
class Backend:
    """What a destination's host is: a service, a ServiceEntry's host, or nothing known.

    `rules` are the DestinationRules that apply, the one that counts most first. `peers` are the
    PeerAuthentications for the service's workloads, older first; empty unless one says DISABLE.
    """

    host: str
    service: Service | None = None
    entry: Policy | None = None
    rules: tuple[Policy, ...] = ()
    peers: tuple[Policy, ...] = ()
    root_namespace: str = ""

    @property
    def known(self) -> bool:
        """Whether the host exists."""
        return self.service is not None or self.entry is not None

    @property
    def namespace(self) -> str:
        """The namespace that the host belongs to; empty when it is not known."""
        if self.service is not None:
            return self.service.namespace
        return self.entry.document.namespace if self.entry is not None else ""

    @property
    def ports(self) -> tuple[Port, ...]:
        """The host's ports, sorted by number."""
        if self.service is not None:
            return tuple(sorted(self.service.ports))
        if self.entry is None:
            return ()
        ports = spec(self.entry, ServiceEntry).ports
        return tuple(sorted(Port(p.number, p.name, (p.protocol or "http").lower()) for p in ports))

    def subset(self, name: str) -> Subset | None:
        """The subset of this name: of the first rule that has it."""
        subsets = (s for rule in self.rules for s in spec(rule, DestinationRule).subsets)
        return next((subset for subset in subsets if subset.name == name), None)


class Index:
    """A world's policies by what they apply to. Built once per world; every look-up is cheap."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.suffix = world.settings.suffix
        self.services: Mapping[str, Service] = {
            f"{s.name}.{s.namespace}.{self.suffix}": s for s in world.services
        }
        by_kind: dict[str, list[Policy]] = defaultdict(list)
        for policy in sorted(world.policies, key=lambda policy: policy.age):
            by_kind[policy.document.kind].append(policy)
        self._entries = HostTable(_entries(by_kind["ServiceEntry"]))
        self._virtual_services = by_kind["VirtualService"]
        self._gateways = by_kind["Gateway"]
        self._rules = self._table(
            (spec(policy, DestinationRule).host, policy) for policy in by_kind["DestinationRule"]
        )
        self._mesh_routes = self._table(
            (host, policy)
            for policy in self._virtual_services
            if MESH in gateways_of(policy)
            for host in spec(policy, VirtualService).hosts
        )
        self._peers = _by_namespace(by_kind["PeerAuthentication"])
        self._authorizations = _by_namespace(by_kind["AuthorizationPolicy"])
        self._taken: dict[str, dict[str, Policy]] = {}
        self._servers: dict[str, Mapping[PolicyKey, list[OpenServer]]] = {}
        self._bound: dict[str, list[Policy]] = defaultdict(list)
        for policy in self._virtual_services:
            for name in dict.fromkeys(gateways_of(policy)):
                self._bound[name].append(policy)

    def qualify(self, host: str, namespace: str) -> str:
        """The full name of `host` as a policy of `namespace` writes it.

        `reviews.default` is the service of that name if there is one and no ServiceEntry of exactly
        this host, else a host of its own.
        """
        full = hostnames.qualify(host, namespace, self.suffix)
        service = f"{full}.{self.suffix}"
        if full.count(".") == 1 and full not in self._entries.values and service in self.services:
            return service
        return full

    @cached_property
    def hosts(self) -> dict[str, str]:
        """Every host that sidecars know, exact and wildcard, with its namespace."""
        found = {
            host: policies[0].document.namespace
            for host, policies in self._mesh_routes.values.items()
        }
        found |= {host: entry.document.namespace for host, entry in self._entries.values.items()}
        found |= {host: service.namespace for host, service in self.services.items()}
        return dict(sorted(found.items()))

    def backend(self, host: str) -> Backend:
        """What a full host name is. A ServiceEntry's wildcard covers hosts that nothing names."""
        service = self.services.get(host)
        entry = None if service is not None else self._entries.find(host)
        owner = service.namespace if service else entry.document.namespace if entry else ""
        peers = self._peers_of(service.namespace) if service is not None else ()
        root = self.world.settings.root_namespace
        return Backend(host, service, entry, self._rules_of(host, owner), peers, root)

    def mesh_routes(self, host: str) -> tuple[Policy, ...]:
        """VirtualServices that sidecars could apply to a full host; the first does, alone."""
        return self._mesh_routes.find(host) or ()

    def mesh_routes_named(self, host: str) -> tuple[Policy, ...]:
        """VirtualServices written for exactly this full host or wildcard, the older first."""
        return self._mesh_routes.values.get(host, ())

    def entry(self, host: str) -> Policy | None:
        """The ServiceEntry that decides for exactly this host or wildcard."""
        return self._entries.values.get(host)

    @property
    def entries(self) -> Mapping[str, Policy]:
        """By host or wildcard: the ServiceEntry that decides for exactly that."""
        return self._entries.values

    def gateways_for(self, pool: Pool) -> tuple[Policy, ...]:
        """Gateways that select the pool, the older first."""
        return tuple(gateway for gateway in self._gateways if selects(gateway, pool))

    def servers_of(self, gateway: Policy, pool: Pool) -> Iterable[OpenServer]:
        """What the servers of a Gateway that selects the pool are, beside those of the others."""
        if pool.name not in self._servers:
            found: dict[PolicyKey, list[OpenServer]] = defaultdict(list)
            gateways = self.gateways_for(pool)
            for server in open_servers((g, spec(g, Gateway)) for g in gateways):
                found[server.gateway.key].append(server)
            self._servers[pool.name] = found
        return self._servers[pool.name].get(gateway.key, ())

    def gateway(self, name: str) -> Policy | None:
        """The Gateway of a full name, `namespace/name`."""
        return next((g for g in self._gateways if gateway_name(g) == name), None)

    def gateway_names(self) -> list[str]:
        """The full names of all Gateways, sorted."""
        return sorted(gateway_name(gateway) for gateway in self._gateways)

    def bound_to(self, gateway: Policy) -> tuple[Policy, ...]:
        """VirtualServices that name the Gateway, the older first."""
        return tuple(self._bound.get(gateway_name(gateway), ()))

    def domains_of(self, gateway: Policy, policy: Policy) -> dict[str, None]:
        """The domains for which a VirtualService answers at a Gateway that it names, in order.

        Of a server's host and a host of the VirtualService the more specific, when one covers the
        other.
        """
        namespace = policy.document.namespace
        hosts = [self.qualify(host, namespace) for host in spec(policy, VirtualService).hosts]
        found: dict[str, None] = {}
        for server in spec(gateway, Gateway).servers:
            for written in server.hosts:
                wanted, pattern = served_host(written, gateway.document.namespace)
                if wanted in ("*", namespace):
                    both = (hostnames.intersection(pattern, host) for host in hosts)
                    found |= dict.fromkeys(domain for domain in both if domain is not None)
        return found

    def taken_by(self, gateway: Policy) -> Mapping[str, Policy]:
        """By domain: the oldest VirtualService at the Gateway that has a rule for every request."""
        name = gateway_name(gateway)
        if name not in self._taken:
            taken: dict[str, Policy] = {}
            for policy in filter(takes_all, self.bound_to(gateway)):
                for domain in self.domains_of(gateway, policy):
                    taken.setdefault(domain, policy)
            self._taken[name] = taken
        return self._taken[name]

    def peer_authentications(self, namespace: str) -> tuple[Policy, ...]:
        """The PeerAuthentications of a namespace, the older first."""
        return tuple(self._peers.get(namespace, ()))

    def authorization_policies(self, namespace: str) -> tuple[Policy, ...]:
        """The AuthorizationPolicies of a namespace, the older first."""
        return tuple(self._authorizations.get(namespace, ()))

    @cached_property
    def inbound_namespaces(self) -> list[str]:
        """Namespaces that have services or say what servers ask of their peers; the root's."""
        namespaces = {service.namespace for service in self.world.services}
        root = self.world.settings.root_namespace
        return sorted({root, *namespaces, *self._peers, *self._authorizations})

    def _peers_of(self, namespace: str) -> tuple[Policy, ...]:
        owners = dict.fromkeys((namespace, self.world.settings.root_namespace))
        peers = [policy for owner in owners for policy in self.peer_authentications(owner)]
        return tuple(peers) if any(map(_disables, peers)) else ()

    def _rules_of(self, host: str, owner: str) -> tuple[Policy, ...]:
        candidates = self._rules.find(host)
        if not candidates:
            return ()
        first = min(candidates, key=lambda rule: (rule.document.namespace != owner, rule.age))
        namespace = first.document.namespace
        return tuple(rule for rule in candidates if rule.document.namespace == namespace)

    def _table(self, pairs: Iterable[tuple[str, Policy]]) -> HostTable[tuple[Policy, ...]]:
        found: dict[str, dict[PolicyKey, Policy]] = defaultdict(dict)
        for host, policy in pairs:
            found[self.qualify(host, policy.document.namespace)][policy.key] = policy
        return HostTable({host: tuple(policies.values()) for host, policies in found.items()})


def _disables(policy: Policy) -> bool:
    """Whether a PeerAuthentication says DISABLE somewhere."""
    written = spec(policy, PeerAuthentication)
    said = [written.mtls, *(written.port_level_mtls or {}).values()]
    return any(mtls is not None and mtls.mode == "DISABLE" for mtls in said)


def _by_namespace(policies: Iterable[Policy]) -> dict[str, list[Policy]]:
    found: dict[str, list[Policy]] = {}
    for policy in policies:
        found.setdefault(policy.document.namespace, []).append(policy)
    return found


def _entries(policies: Iterable[Policy]) -> dict[str, Policy]:
    entries: dict[str, Policy] = {}
    for policy in policies:
        for host in spec(policy, ServiceEntry).hosts:
            entries.setdefault(host.lower(), policy)
    return entries


def gateways_of(policy: Policy) -> tuple[str, ...]:
    """The gateways that a VirtualService names, `namespace/name` or `mesh`; none is `mesh`."""
    names = spec(policy, VirtualService).gateways or (MESH,)
    return tuple(full_gateway_name(name, policy.document.namespace) for name in names)


def takes_all(policy: Policy) -> bool:
    """Whether a VirtualService has a rule without a match."""
    return any(not rule.match for rule in spec(policy, VirtualService).http)


def full_gateway_name(name: str, namespace: str) -> str:
    """`namespace/name` of a Gateway as a policy of `namespace` writes it; `mesh` stays `mesh`."""
    if name == MESH or "/" in name:
        return name
    return f"{namespace}/{name}"


def gateway_name(gateway: Policy) -> str:
    """`namespace/name` of a Gateway."""
    return f"{gateway.document.namespace}/{gateway.document.name}"


def selects(gateway: Policy, pool: Pool) -> bool:
    """Whether all labels of the Gateway's selector are the pool's; an empty one selects all."""
    return spec(gateway, Gateway).selector.items() <= dict(pool.labels).items()


def key_text(key: PolicyKey) -> str:
    """`VirtualService/default/reviews`: the source of a compiled route."""
    return "/".join(key)
