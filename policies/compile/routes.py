"""Routes: the http rules of a VirtualService as one port of one host or gateway executes them.

Matches that can't hold there (other gateways, another port) are compiled away, and what stands
behind a route that takes everything.
"""

from collections.abc import Callable, Iterator, Mapping, Set

from tulle.policies.config import HttpMatch, Route, Target
from tulle.policies.config import StringMatch as CompiledMatch
from tulle.policies.resolve import full_gateway_name, gateways_of, key_text, spec
from tulle.policies.resources.base import MILLISECOND, nanoseconds
from tulle.policies.resources.networking.common import Destination, StringMatch
from tulle.policies.resources.networking.virtual_service import (
    HttpMatchRequest,
    HttpRoute,
    VirtualService,
)
from tulle.policies.world import Policy

ClusterOf = Callable[[Destination], str]
"""The name of the cluster that a destination means."""


def compile_routes(
    policy: Policy, gateways: Set[str], port: int, cluster_of: ClusterOf
) -> tuple[Route, ...]:
    """The routes of a VirtualService at `gateways` (`mesh`, `ns/name`) and `port`, in order."""
    routes: list[Route] = []
    for position, rule in enumerate(spec(policy, VirtualService).http):
        matches = _matches(policy, rule, gateways, port)
        if matches is None:
            continue
        routes.append(_route(policy, rule, position, matches, cluster_of))
        if not matches:
            break
    return tuple(routes)


def destinations(policy: Policy) -> Iterator[Destination]:
    """All destinations that a VirtualService sends requests to."""
    for rule in spec(policy, VirtualService).http:
        for share in rule.route:
            yield share.destination


def _route(
    policy: Policy,
    rule: HttpRoute,
    position: int,
    matches: tuple[HttpMatch, ...],
    cluster_of: ClusterOf,
) -> Route:
    timeout = None if rule.timeout is None else nanoseconds(rule.timeout) // MILLISECOND
    return Route(
        name=rule.name or f"http[{position}]",
        matches=matches,
        targets=_targets(rule, cluster_of),
        timeout_ms=timeout,
        source=key_text(policy.key),
    )


def _targets(rule: HttpRoute, cluster_of: ClusterOf) -> tuple[Target, ...]:
    if len(rule.route) == 1:
        return (Target(cluster_of(rule.route[0].destination), 1),)
    weights: dict[str, int] = {}
    for share in rule.route:
        if share.weight:
            name = cluster_of(share.destination)
            weights[name] = weights.get(name, 0) + share.weight
    return tuple(Target(name, weight) for name, weight in weights.items())


def _matches(
    policy: Policy, rule: HttpRoute, gateways: Set[str], port: int
) -> tuple[HttpMatch, ...] | None:
    """The conditions of a rule, () when it takes everything, None when it takes nothing here."""
    if not rule.match:
        return ()
    here = [match for match in rule.match if _applies(policy, match, gateways, port)]
    compiled = tuple(dict.fromkeys(_match(match) for match in here))
    if HttpMatch() in compiled:
        return ()
    return compiled or None


def _applies(policy: Policy, match: HttpMatchRequest, gateways: Set[str], port: int) -> bool:
    if match.port not in (None, port):
        return False
    if not match.gateways:
        return not gateways.isdisjoint(gateways_of(policy))
    namespace = policy.document.namespace
    return any(full_gateway_name(name, namespace) in gateways for name in match.gateways)


def _match(match: HttpMatchRequest) -> HttpMatch:
    uri = match.uri
    # Every path begins with a slash.
    everything = uri is not None and uri.prefix == "/"
    return HttpMatch(
        uri=None if everything else _optional(uri, bool(match.ignore_uri_case)),
        method=_optional(match.method),
        authority=_optional(match.authority),
        headers=_headers(match.headers),
    )


def _headers(headers: Mapping[str, StringMatch]) -> tuple[tuple[str, CompiledMatch], ...]:
    return tuple(sorted(((n.lower(), compile_match(m)) for n, m in headers.items()), key=_by_name))


def _by_name(header: tuple[str, CompiledMatch]) -> str:
    return header[0]


def _optional(match: StringMatch | None, ignore_case: bool = False) -> CompiledMatch | None:
    return None if match is None else compile_match(match, ignore_case)


def compile_match(match: StringMatch, ignore_case: bool = False) -> CompiledMatch:
    """A string match; one without a condition, or with the regex `*`, asks for presence alone."""
    if match.exact is not None:
        return CompiledMatch("exact", match.exact, ignore_case)
    if match.prefix is not None:
        return CompiledMatch("prefix", match.prefix, ignore_case)
    if match.regex is not None and match.regex != "*":
        return CompiledMatch("regex", match.regex)
    return CompiledMatch("present")
