"""What is wrong with a document by itself, though every field fits the schema.

Counterparts: `parse.py` checks fields one by one, `validate.py` what documents say of each other.
"""

import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping

from tulle.policies import hostnames
from tulle.policies.parse import Document
from tulle.policies.problems import Path, Problem, listed
from tulle.policies.resources.meta import is_dns_label
from tulle.policies.resources.networking.common import Destination, StringMatch
from tulle.policies.resources.networking.destination_rule import DestinationRule
from tulle.policies.resources.networking.gateway import Gateway
from tulle.policies.resources.networking.service_entry import ServiceEntry
from tulle.policies.resources.networking.virtual_service import (
    HttpMatchRequest,
    HttpRoute,
    VirtualService,
)
from tulle.policies.resources.security.authorization_policy import AuthorizationPolicy
from tulle.policies.resources.security.peer_authentication import PeerAuthentication
from tulle.policies.security import authorization_contradictions, peer_contradictions

_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,256}")
_SUBSET = re.compile(r"[a-zA-Z0-9](?:[-a-zA-Z0-9]{0,61}[a-zA-Z0-9])?")
_PSEUDO = {
    ":authority",
    ":method",
    ":path",
    ":scheme",
    "authority",
    "method",
    "scheme",
    "uri",
}
_HOST_RULE = "must be a DNS name, an IPv4 address, * or *.suffix"


def contradictions(document: Document) -> Iterator[Problem]:
    """Everything that the document says and can't mean."""
    match document.resource:
        case VirtualService() as service:
            yield from _virtual_service(document, service)
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


# -- VirtualService -------------------------------------------------------------------------


def _virtual_service(document: Document, service: VirtualService) -> Iterator[Problem]:
    hosts = ("spec", "hosts")
    if not service.hosts:
        yield document.problem("schema", ("spec",), "hosts must name at least one host")
    yield from _hosts(document, hosts, service.hosts)
    gateways = service.gateways or ("mesh",)
    if "*" in service.hosts and "mesh" in gateways:
        message = (
            "the host * can't be bound to the mesh, it would take every request of every workload; "
            "name hosts, or gateways other than mesh"
        )
        yield document.problem("contradiction", (*hosts, service.hosts.index("*")), message)
    yield from _gateway_names(document, ("spec", "gateways"), service.gateways)
    if not (service.http or service.tls or service.tcp):
        yield document.problem("schema", ("spec",), "http, tls or tcp must have at least one route")
    for position, rule in enumerate(service.http):
        yield from _http_route(document, ("spec", "http", position), rule)
    yield from _never_taken(document, service.http)
    yield from _never_matching(document, service)


def _http_route(document: Document, path: Path, rule: HttpRoute) -> Iterator[Problem]:
    if not (rule.route or rule.redirect or rule.direct_response or rule.delegate):
        yield document.problem("contradiction", path, "a rule needs a route with a destination")
    for position, match in enumerate(rule.match):
        yield from _match(document, (*path, "match", position), match)
    weights = [share.weight or 0 for share in rule.route]
    for position, weight in enumerate(weights):
        where = (*path, "route", position)
        if weight < 0:
            yield document.problem("schema", (*where, "weight"), "must not be negative")
        yield from _destination(document, (*where, "destination"), rule.route[position].destination)
    if len(weights) > 1 and sum(weights) == 0:
        message = "the weights add up to 0; give at least one destination a weight"
        yield document.problem("contradiction", (*path, "route"), message)


def _destination(document: Document, path: Path, destination: Destination) -> Iterator[Problem]:
    host = destination.host
    if not hostnames.is_host(host) or hostnames.is_wildcard(host):
        yield document.problem("schema", (*path, "host"), "must be the name of one host")
    if destination.port is not None:
        number = destination.port.number
        if number is None or not 1 <= number <= 65535:
            message = "must have a number from 1 to 65535"
            yield document.problem("schema", (*path, "port"), message)
    if destination.subset is not None and not _SUBSET.fullmatch(destination.subset):
        yield document.problem("schema", (*path, "subset"), "must be letters, digits and -")


def _match(document: Document, path: Path, match: HttpMatchRequest) -> Iterator[Problem]:
    for name in ("uri", "method", "authority"):
        value: StringMatch | None = getattr(match, name)
        if value is not None and (value == StringMatch() or value.regex == "*"):
            message = "must have one of exact, prefix, regex; to match everything remove it"
            yield document.problem("schema", (*path, name), message)
    for header in match.headers:
        where = (*path, "headers", header)
        if header.lower() in _PSEUDO:
            field = header.lower().removeprefix(":").replace("path", "uri")
            message = f"{header} is no header; use the field {field} of the match"
            yield document.problem("contradiction", where, message)
        elif not _TOKEN.fullmatch(header):
            yield document.problem("schema", where, "is not a valid name of a header")
    if match.port is not None and not 1 <= match.port <= 65535:
        yield document.problem("schema", (*path, "port"), "must be from 1 to 65535")
    yield from _gateway_names(document, (*path, "gateways"), match.gateways)


def _never_taken(document: Document, rules: Iterable[HttpRoute]) -> Iterator[Problem]:
    taken_by: int | None = None
    for position, rule in enumerate(rules):
        if taken_by is not None:
            message = f"never taken: http[{taken_by}] has no match and takes every request"
            yield document.problem("contradiction", ("spec", "http", position), message, "warning")
        elif not rule.match:
            taken_by = position


def _never_matching(document: Document, service: VirtualService) -> Iterator[Problem]:
    bound = service.gateways or ("mesh",)
    for position, rule in enumerate(service.http):
        for number, match in enumerate(rule.match):
            path = ("spec", "http", position, "match", number, "gateways")
            if match.gateways and not set(match.gateways) & set(bound):
                message = f"never holds: this VirtualService is bound to {listed(bound)} alone"
                yield document.problem("contradiction", path, message, "warning")


def _gateway_names(document: Document, path: Path, names: Iterable[str]) -> Iterator[Problem]:
    for position, name in enumerate(names):
        namespace, slash, rest = name.rpartition("/")
        parts_ok = all(is_dns_label(part) for part in rest.split("."))
        if not parts_ok or (slash and not is_dns_label(namespace)):
            message = "must be mesh, the name of a Gateway, or namespace/name"
            yield document.problem("schema", (*path, position), message)


# -- DestinationRule ------------------------------------------------------------------------


def _destination_rule(document: Document, rule: DestinationRule) -> Iterator[Problem]:
    if not hostnames.is_host(rule.host):
        yield document.problem("schema", ("spec", "host"), _HOST_RULE)
    names = [subset.name for subset in rule.subsets]
    for position, name in enumerate(names):
        path = ("spec", "subsets", position, "name")
        if not _SUBSET.fullmatch(name):
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
        message = f"{_HOST_RULE}, alone or after namespace/, ./ or */"
        yield document.problem("schema", path, message)


# -- ServiceEntry ---------------------------------------------------------------------------


def _service_entry(document: Document, entry: ServiceEntry) -> Iterator[Problem]:
    yield from _hosts(document, ("spec", "hosts"), entry.hosts)
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


def _hosts(document: Document, path: Path, hosts: Iterable[str]) -> Iterator[Problem]:
    seen: set[str] = set()
    for position, host in enumerate(hosts):
        if not hostnames.is_host(host):
            yield document.problem("schema", (*path, position), _HOST_RULE)
        elif host.lower() in seen:
            yield document.problem("duplicate", (*path, position), f"{host} is given twice")
        seen.add(host.lower())


def _duplicates(
    document: Document, path: Path, field: str, noun: str, names: Iterable[str]
) -> Iterator[Problem]:
    seen: dict[str, int] = {}
    for position, name in enumerate(names):
        first = seen.setdefault(name, position)
        if first != position:
            message = f"{noun} {name} is already given by item {first}"
            yield document.problem("duplicate", (*path, position, field), message)
