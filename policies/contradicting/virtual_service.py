"""VirtualService: its hosts, gateways, and the matches and destinations of its rules.

What rules do besides is in `http_actions.py` and `header_edits.py`.
"""

from collections.abc import Iterable, Iterator

from tulle.policies import hostnames
from tulle.policies.contradicting.common import SUBSET, repeated_hosts
from tulle.policies.contradicting.header_edits import check_headers
from tulle.policies.contradicting.http_actions import check_actions
from tulle.policies.contradicting.http_match import check_match
from tulle.policies.contradicting.names import check_gateway_names
from tulle.policies.parse import Document
from tulle.policies.problems import Path, Problem, listed
from tulle.policies.resources.networking.common import Destination
from tulle.policies.resources.networking.virtual_service import HttpRoute, VirtualService


def check_virtual_service(document: Document, service: VirtualService) -> Iterator[Problem]:
    """Everything that a VirtualService says and can't mean."""
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
    yield from check_gateway_names(document, ("spec", "gateways"), service.gateways)
    if not (service.http or service.tls or service.tcp):
        yield document.problem("schema", ("spec",), "http, tls or tcp must have at least one route")
    for position, rule in enumerate(service.http):
        yield from _http_route(document, ("spec", "http", position), rule)
    yield from _never_taken(document, service.http)
    yield from _never_matching(document, service)


def _http_route(document: Document, path: Path, rule: HttpRoute) -> Iterator[Problem]:
    for position, match in enumerate(rule.match):
        yield from check_match(document, (*path, "match", position), match)
    yield from check_actions(document, path, rule)
    yield from check_headers(document, (*path, "headers"), rule.headers)
    weights = [share.weight or 0 for share in rule.route]
    for position, share in enumerate(rule.route):
        where = (*path, "route", position)
        if weights[position] < 0:
            yield document.problem("schema", (*where, "weight"), "must not be negative")
        yield from _destination(document, (*where, "destination"), share.destination)
        yield from check_headers(document, (*where, "headers"), share.headers)
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
