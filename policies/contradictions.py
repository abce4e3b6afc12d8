"""What is wrong with a document by itself, though every field fits the schema.

Here: VirtualService; the other kinds are in `contradicting/`. Counterparts: `parse.py` checks
fields one by one, `validate.py` what documents say of each other.
"""

import re
from collections.abc import Iterable, Iterator

from tulle.policies import hostnames
from tulle.policies.contradicting.common import SUBSET, repeated_hosts
from tulle.policies.contradicting.destination_rule import destination_rule
from tulle.policies.contradicting.gateway import gateway
from tulle.policies.contradicting.service_entry import service_entry
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

_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,256}")
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


def contradictions(document: Document) -> Iterator[Problem]:
    """Everything that the document says and can't mean."""
    match document.resource:
        case VirtualService() as service:
            yield from _virtual_service(document, service)
        case DestinationRule() as rule:
            yield from destination_rule(document, rule)
        case Gateway() as servers:
            yield from gateway(document, servers)
        case ServiceEntry() as entry:
            yield from service_entry(document, entry)


# -- VirtualService -------------------------------------------------------------------------


def _virtual_service(document: Document, service: VirtualService) -> Iterator[Problem]:
    hosts = ("spec", "hosts")
    if not service.hosts:
        yield document.problem("schema", ("spec",), "hosts must name at least one host")
    yield from repeated_hosts(document, hosts, service.hosts)
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
    if destination.subset is not None and not SUBSET.fullmatch(destination.subset):
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
