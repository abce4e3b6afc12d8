"""Checks across resources: what documents say of each other and of what the mesh has.

A reference to what does not exist (yet) is a warning, since files arrive in any order; traffic to
it gets 503 with a reason. Two policies that decide the same: the older wins, the other is warned.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from tulle.policies import hostnames
from tulle.policies.contradictions import contradictions
from tulle.policies.parse import Document
from tulle.policies.problems import Problem, listed
from tulle.policies.references import no_host, route_references
from tulle.policies.resolve import (
    Index,
    gateway_name,
    selects,
    spec,
)
from tulle.policies.resources.networking.destination_rule import DestinationRule
from tulle.policies.resources.networking.gateway import Gateway
from tulle.policies.resources.networking.service_entry import ServiceEntry
from tulle.policies.resources.networking.virtual_service import VirtualService
from tulle.policies.resources.security.peer_authentication import PeerAuthentication
from tulle.policies.security import older_peers
from tulle.policies.supported import unsupported
from tulle.policies.world import Policy, PolicyKey, World


def check(world: World, documents: Iterable[Document]) -> list[Problem]:
    """All problems of `documents`, which `world` already holds: errors and warnings, in order."""
    documents = list(documents)
    index = Index(world)
    policies = {policy.key: policy for policy in world.policies}
    problems = list(_given_twice(documents))
    for document in documents:
        problems += unsupported(document)
        problems += contradictions(document)
        policy = policies.get(PolicyKey(document.kind, document.namespace, document.name))
        if policy is not None and policy.document == document:
            # With the file and lines of this document, also when the stored one says the same.
            problems += references(index, replace(policy, document=document))
    return sorted(problems, key=lambda problem: (problem.file, problem.line, problem.path))


def references(index: Index, policy: Policy) -> Iterator[Problem]:
    """What the policy refers to and is not there, and who decided before it."""
    match policy.document.resource:
        case VirtualService():
            yield from route_references(index, policy)
        case DestinationRule():
            yield from _destination_rule(index, policy)
        case Gateway():
            yield from _gateway(index, policy)
        case ServiceEntry():
            yield from _service_entry(index, policy)
        case PeerAuthentication():
            yield from older_peers(index, policy)


def _given_twice(documents: Iterable[Document]) -> Iterator[Problem]:
    seen: dict[PolicyKey, Document] = {}
    for document in documents:
        key = PolicyKey(document.kind, document.namespace, document.name)
        first = seen.setdefault(key, document)
        if first is not document:
            where = f"{first.file}:{first.line(())}".lstrip(":")
            message = f"{document.title} is given twice in one apply, first at {where}"
            yield document.problem("duplicate", ("metadata", "name"), message)


# -- DestinationRule ------------------------------------------------------------------------


def _destination_rule(index: Index, policy: Policy) -> Iterator[Problem]:
    document, rule = policy.document, spec(policy, DestinationRule)
    path = ("spec", "host")
    host = index.qualify(rule.host, document.namespace)
    backend = index.backend(host)
    if not backend.known and not hostnames.is_wildcard(host):
        yield document.problem("missing-reference", path, no_host(index, host), "warning")
    if backend.entry is not None and rule.traffic_policy and rule.traffic_policy.tls:
        message = "ISTIO_MUTUAL to the host of a ServiceEntry is not supported yet; remove tls"
        yield document.problem("not-supported-yet", ("spec", "trafficPolicy", "tls"), message)
    if policy not in backend.rules and backend.rules:
        used = backend.rules[0].key
        message = f"{used} already decides about {host}; this rule is not used"
        yield document.problem("conflict", path, message, "warning")
        return
    for older in backend.rules:
        if older.key == policy.key:
            return
        yield from _overlap(policy, older)


def _overlap(policy: Policy, older: Policy) -> Iterator[Problem]:
    """Rules of one namespace for one host are merged; what both say, the older decides."""
    document = policy.document
    one, other = spec(older, DestinationRule), spec(policy, DestinationRule)
    if one.traffic_policy is not None and other.traffic_policy is not None:
        message = f"the older {older.key} already has one for this host; this one is not used"
        yield document.problem("conflict", ("spec", "trafficPolicy"), message, "warning")
    names = {subset.name for subset in one.subsets}
    for position, subset in enumerate(other.subsets):
        if subset.name in names:
            message = f"the older {older.key} already has the subset {subset.name}"
            path = ("spec", "subsets", position, "name")
            yield document.problem("conflict", path, message, "warning")


# -- Gateway and ServiceEntry ---------------------------------------------------------------


def _gateway(index: Index, policy: Policy) -> Iterator[Problem]:
    document = policy.document
    pools = [pool for pool in index.world.pools if selects(policy, pool)]
    if not pools:
        known = listed(
            f"{pool.name} ({listed(f'{name}={value}' for name, value in pool.labels)})"
            for pool in index.world.pools
        )
        message = f"no pool of gateways has these labels; pools: {known}"
        yield document.problem("missing-reference", ("spec", "selector"), message, "warning")
    for position, server in enumerate(spec(policy, Gateway).servers):
        for number, host in enumerate(server.hosts):
            older = _older_server(index, policy, server.port.number, host)
            if older is not None:
                message = (
                    f"{host} on port {server.port.number} is also served by the older {older.key}; "
                    "their routes are merged, the older VirtualService first"
                )
                path = ("spec", "servers", position, "hosts", number)
                yield document.problem("conflict", path, message, "warning")


def _older_server(index: Index, policy: Policy, port: int, host: str) -> Policy | None:
    for pool in index.world.pools:
        if not selects(policy, pool):
            continue
        for older in index.gateways_for(pool):
            if gateway_name(older) == gateway_name(policy):
                break
            if any(s.port.number == port and host in s.hosts for s in spec(older, Gateway).servers):
                return older
    return None


def _service_entry(index: Index, policy: Policy) -> Iterator[Problem]:
    for position, host in enumerate(spec(policy, ServiceEntry).hosts):
        path = ("spec", "hosts", position)
        first = index.entry(host.lower())
        if host.lower() in index.services:
            message = f"{host} is a service of the mesh; this entry is not used for it"
            yield policy.document.problem("conflict", path, message, "warning")
        elif first is not None and first.key != policy.key:
            message = f"{host} is already given by the older {first.key}; this entry is not used"
            yield policy.document.problem("conflict", path, message, "warning")
