"""Routes: the http rules of a VirtualService as one port of one host or gateway executes them.

Matches that can't hold there (other gateways, another port) are compiled away, and what stands
behind a route that takes everything. A rule becomes several routes when what it does to the path
depends on which of its matches holds.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import replace
from itertools import groupby

from tulle.policies.compile.actions import (
    compile_direct,
    compile_edits,
    compile_fault,
    compile_redirect,
    compile_retry,
    compile_rewrite,
    milliseconds,
)
from tulle.policies.config import Edits, HttpMatch, Labels, Redirect, Rewrite, Route, Target
from tulle.policies.config import StringMatch as CompiledMatch
from tulle.policies.resolve import full_gateway_name, gateways_of, key_text, spec
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
        here = [match for match in rule.match if _applies(policy, match, gateways, port)]
        if rule.match and not here:
            continue
        shape = _shape(policy, rule, position, cluster_of)
        for matches, rewrite, redirect in _parts(rule, here):
            routes.append(replace(shape, matches=matches, rewrite=rewrite, redirect=redirect))
            if not matches:
                return tuple(routes)
    return tuple(routes)


def destinations(policy: Policy) -> Iterator[Destination]:
    """All destinations that a VirtualService sends requests to."""
    for rule in spec(policy, VirtualService).http:
        for share in rule.route:
            yield share.destination


def _shape(policy: Policy, rule: HttpRoute, position: int, cluster_of: ClusterOf) -> Route:
    """The route of a rule without what depends on its matches."""
    return Route(
        name=rule.name or f"http[{position}]",
        matches=(),
        targets=_targets(rule, cluster_of),
        timeout_ms=milliseconds(rule.timeout),
        source=key_text(policy.key),
        retry=compile_retry(rule.retries),
        fault=compile_fault(rule.fault),
        direct=compile_direct(rule.direct_response),
        edits=compile_edits(rule.headers),
    )


def _targets(rule: HttpRoute, cluster_of: ClusterOf) -> tuple[Target, ...]:
    if len(rule.route) == 1:
        only = rule.route[0]
        return (Target(cluster_of(only.destination), 1, compile_edits(only.headers)),)
    weights: dict[tuple[str, Edits | None], int] = {}
    for share in rule.route:
        if share.weight:
            target = cluster_of(share.destination), compile_edits(share.headers)
            weights[target] = weights.get(target, 0) + share.weight
    return tuple(Target(name, weight, edits) for (name, edits), weight in weights.items())


def _parts(
    rule: HttpRoute, here: Sequence[HttpMatchRequest]
) -> Iterator[tuple[tuple[HttpMatch, ...], Rewrite | None, Redirect | None]]:
    """The rule's matches, neighbours with the same rewrite and redirect together."""

    def actions(match: HttpMatchRequest | None) -> tuple[Rewrite | None, Redirect | None]:
        uri = match.uri if match is not None else None
        return compile_rewrite(rule.rewrite, uri), compile_redirect(rule.redirect, uri)

    given: Sequence[HttpMatchRequest | None] = here or (None,)
    for (rewrite, redirect), matches in groupby(given, actions):
        compiled = tuple(dict.fromkeys(_match(match) for match in matches))
        # () when it takes everything.
        yield () if HttpMatch() in compiled else compiled, rewrite, redirect


def _applies(policy: Policy, match: HttpMatchRequest, gateways: Set[str], port: int) -> bool:
    if match.port not in (None, port):
        return False
    if not match.gateways:
        return not gateways.isdisjoint(gateways_of(policy))
    namespace = policy.document.namespace
    return any(full_gateway_name(name, namespace) in gateways for name in match.gateways)


def _match(match: HttpMatchRequest | None) -> HttpMatch:
    if match is None:
        return HttpMatch()
    uri = match.uri
    # Every path begins with a slash.
    everything = uri is not None and uri.prefix == "/"
    return HttpMatch(
        uri=None if everything else _optional(uri, bool(match.ignore_uri_case)),
        method=_optional(match.method),
        authority=_optional(match.authority),
        headers=_headers(match.headers),
        without_headers=_headers(match.without_headers),
        query=_by_name(match.query_params),
        scheme=_optional(match.scheme),
        source_labels=_labels(match.source_labels),
        source_namespace=match.source_namespace or "",
    )


def _headers(headers: Mapping[str, StringMatch]) -> tuple[tuple[str, CompiledMatch], ...]:
    return _by_name({name.lower(): match for name, match in headers.items()})


def _by_name(matches: Mapping[str, StringMatch]) -> tuple[tuple[str, CompiledMatch], ...]:
    return tuple((name, compile_match(matches[name])) for name in sorted(matches))


def _labels(labels: Mapping[str, str]) -> Labels:
    return tuple(sorted(labels.items()))


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
