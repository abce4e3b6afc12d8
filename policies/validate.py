"""Checks across resources: what documents say of each other and of what the mesh has.

A reference to what does not exist (yet) is a warning, since files arrive in any order; traffic to
it gets 503 with a reason. Two policies that decide the same: the older wins, the other is warned.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from tulle.policies.contradictions import contradictions
from tulle.policies.parse import Document
from tulle.policies.peer_references import older_peers
from tulle.policies.problems import Path, Problem, listed
from tulle.policies.references import route_references
from tulle.policies.resolve import Index, selects, spec
from tulle.policies.resources.networking.destination_rule import DestinationRule
from tulle.policies.resources.networking.gateway import Gateway
from tulle.policies.resources.networking.service_entry import ServiceEntry
from tulle.policies.resources.networking.virtual_service import VirtualService
from tulle.policies.resources.security.peer_authentication import PeerAuthentication
from tulle.policies.rule_references import rule_references
from tulle.policies.servers import OpenServer
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
            yield from rule_references(index, policy)
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
    warnings = {
        problem: None
        for pool in pools
        for server in index.servers_of(policy, pool)
        for problem in _server(document, server)
    }
    yield from warnings


def _server(document: Document, server: OpenServer) -> Iterator[Problem]:
    """What older servers leave of one; each warning once, however many pools it is for."""
    path: Path = ("spec", "servers", server.position)
    if server.blocked_by is not None:
        message = (
            f"{_earlier(server, server.blocked_by)} has opened port {server.port} with another "
            f"protocol than {server.protocol}; this server is not used"
        )
        yield document.problem("conflict", (*path, "port", "protocol"), message, "warning")
    for written, older in server.older:
        earlier = _earlier(server, older)
        if server.protocol == "HTTPS":
            message = (
                f"{written} on port {server.port} is already served by {earlier}; "
                "this server is not used for it"
            )
        else:
            message = (
                f"{written} on port {server.port} is also served by {earlier}; their routes are "
                "merged, the older VirtualService first, and the server named here decides about "
                "httpsRedirect"
            )
        where = (*path, "hosts", server.server.hosts.index(written))
        yield document.problem("conflict", where, message, "warning")


def _earlier(server: OpenServer, owner: Policy) -> str:
    """The Gateway that has what `server` wants as well, which may be its own."""
    if owner.key == server.gateway.key:
        return "an earlier server of this Gateway"
    return f"the older {owner.key}"


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
