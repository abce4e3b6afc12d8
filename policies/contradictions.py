"""What is wrong with a document by itself, though every field fits the schema.

VirtualServices are in `checks/`. Counterparts: `parse.py` checks fields one by one, `validate.py`
what documents say of each other.
"""

import ipaddress
from collections.abc import Iterable, Iterator, Mapping

from tulle.policies import hostnames
from tulle.policies.checks.hosts import HOST_RULE, check_hosts
from tulle.policies.checks.names import SUBSET
from tulle.policies.checks.virtual_service import check_virtual_service
from tulle.policies.parse import Document
from tulle.policies.problems import Path, Problem, listed
from tulle.policies.resources.meta import is_dns_label
from tulle.policies.resources.networking.destination_rule import DestinationRule
from tulle.policies.resources.networking.gateway import Gateway
from tulle.policies.resources.networking.service_entry import ServiceEntry
from tulle.policies.resources.networking.virtual_service import VirtualService
from tulle.policies.resources.security.authorization_policy import AuthorizationPolicy
from tulle.policies.resources.security.peer_authentication import PeerAuthentication
from tulle.policies.security import authorization_contradictions, peer_contradictions


def contradictions(document: Document) -> Iterator[Problem]:
    """Everything that the document says and can't mean."""
    match document.resource:
        case VirtualService() as service:
            yield from check_virtual_service(document, service)
        case DestinationRule() as rule:
            yield from _destination_rule(document, rule)
        case Gateway() as gateway:
            yield from _gateway(document, gateway)
        case ServiceEntry() as entry:
            yield from _service_entry(document, entry)
        case PeerAuthentication() as peer:
            yield from peer_contradictions(document, peer)
        case AuthorizationPolicy() as policy:
            yield from authorization_contradictions(document, policy)


# -- DestinationRule ------------------------------------------------------------------------


def _destination_rule(document: Document, rule: DestinationRule) -> Iterator[Problem]:
    if not hostnames.is_host(rule.host):
        yield document.problem("schema", ("spec", "host"), HOST_RULE)
    names = [subset.name for subset in rule.subsets]
    for position, name in enumerate(names):
        path = ("spec", "subsets", position, "name")
        if not SUBSET.fullmatch(name):
            yield document.problem("schema", path, "must be letters, digits and - (at most 63)")
    yield from _duplicates(document, ("spec", "subsets"), "name", "the subset", names)


# -- Gateway --------------------------------------------------------------------------------


def _gateway(document: Document, gateway: Gateway) -> Iterator[Problem]:
    if not gateway.servers:
        yield document.problem("schema", ("spec",), "servers must have at least one server")
    seen: dict[tuple[int, str], Path] = {}
    for position, server in enumerate(gateway.servers):
        path = ("spec", "servers", position)
        if not 1 <= server.port.number <= 65535:
            message = "must be from 1 to 65535"
            yield document.problem("schema", (*path, "port", "number"), message)
        if not server.hosts:
            yield document.problem("schema", path, "hosts must name at least one host, or *")
        for number, host in enumerate(server.hosts):
            where = (*path, "hosts", number)
            yield from _server_host(document, where, host)
            first = seen.setdefault((server.port.number, host.lower()), where)
            if first != where:
                message = f"{host} is already served on port {server.port.number}"
                yield document.problem("duplicate", where, message)
    ports = [server.port.name for server in gateway.servers]
    yield from _duplicates(document, ("spec", "servers"), "port", "the port name", ports)


def _server_host(document: Document, path: Path, written: str) -> Iterator[Problem]:
    namespace, slash, host = written.rpartition("/")
    namespace_ok = not slash or namespace in ("*", ".") or is_dns_label(namespace)
    if not namespace_ok or not hostnames.is_host(host):
        message = f"{HOST_RULE}, alone or after namespace/, ./ or */"
        yield document.problem("schema", path, message)


# -- ServiceEntry ---------------------------------------------------------------------------


def _service_entry(document: Document, entry: ServiceEntry) -> Iterator[Problem]:
    yield from check_hosts(document, ("spec", "hosts"), entry.hosts)
    ports = ("spec", "ports")
    if not entry.ports:
        yield document.problem("schema", ("spec",), "ports must have at least one port")
    yield from _duplicates(document, ports, "name", "the port name", [p.name for p in entry.ports])
    numbers = [str(port.number) for port in entry.ports]
    yield from _duplicates(document, ports, "number", "the port number", numbers)
    resolution = entry.resolution or "NONE"
    if resolution == "STATIC" and not entry.endpoints and entry.workload_selector is None:
        yield document.problem("contradiction", ("spec",), "resolution STATIC needs endpoints")
    if resolution == "NONE" and entry.endpoints is not None:
        message = "resolution NONE (the default) can't have endpoints; use STATIC"
        yield document.problem("contradiction", ("spec", "endpoints"), message)
    known = {port.name for port in entry.ports}
    for position, endpoint in enumerate(entry.endpoints or ()):
        path = ("spec", "endpoints", position)
        address = endpoint.address
        if resolution == "STATIC" and address is not None and not _is_address(address):
            message = f"must be an IP address with resolution STATIC, not {address[:80]}"
            yield document.problem("contradiction", (*path, "address"), message)
        yield from _endpoint_ports(document, (*path, "ports"), endpoint.ports, known)


def _endpoint_ports(
    document: Document, path: Path, ports: Mapping[str, int], known: Iterable[str]
) -> Iterator[Problem]:
    for name in ports:
        if name not in known:
            message = f"{name} is no port of this entry; its ports: {listed(sorted(known))}"
            yield document.problem("contradiction", (*path, name), message)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


# -- common ---------------------------------------------------------------------------------


def _duplicates(
    document: Document, path: Path, field: str, noun: str, names: Iterable[str]
) -> Iterator[Problem]:
    seen: dict[str, int] = {}
    for position, name in enumerate(names):
        first = seen.setdefault(name, position)
        if first != position:
            message = f"{noun} {name} is already given by item {first}"
            yield document.problem("duplicate", (*path, position, field), message)
