"""Which cluster a request goes to: routes specialised to one closure when config is installed.

Per request nothing is looked at that no route asks for; a host with one default route costs a call
that returns a constant. Counterpart: the proxy's exchange, which brings its own cluster objects as
`T`, so that no request looks a name up.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from tulle.policies.config import HttpMatch, Route, VirtualHost
from tulle.policies.decide.client import DEFAULT_CLIENT, possible
from tulle.policies.decide.client import Client as Client
from tulle.policies.decide.match import Headers, RequestTest, asks_query, compile_matches
from tulle.policies.decide.pick import compile_pick
from tulle.policies.decide.plan import DEFAULT_RETRY, Plan, Retry
from tulle.policies.decide.planning import compile_plan, compile_retry
from tulle.policies.hostnames import is_wildcard, specific_first
from tulle.policies.steps import Steps, finished

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Choice(Generic[T]):
    """Where a request goes, by which route. `timeout` in seconds, None: no limit.

    `cluster` is None only when the plan answers by itself. `plan` None: nothing more to do.
    """

    cluster: T | None
    timeout: float | None
    route: Route
    retry: Retry = DEFAULT_RETRY
    plan: Plan | None = None


@dataclass(frozen=True, slots=True)
class _Rule(Generic[T]):
    """A route with a condition. `whole`: its test takes the query; `cut`: it must not see it."""

    test: RequestTest
    pick: Callable[[float], Choice[T]]
    whole: bool
    cut: bool


Chooser = Callable[[bytes, bytes, bytes, Headers, float], Choice[T] | None]
"""Arguments: method, path (the query may follow), authority, headers, a uniform number in [0, 1).

None: no route takes the request.
"""


def compile_routes(
    routes: Sequence[Route], clusters: Mapping[str, T], client: Client = DEFAULT_CLIENT
) -> Chooser[T]:
    """The chooser of routes in order. `clusters` has every cluster they name, else KeyError."""
    return finished(compiling_routes(routes, clusters, client))


def compiling_routes(
    routes: Sequence[Route], clusters: Mapping[str, T], client: Client = DEFAULT_CLIENT
) -> Steps[Chooser[T]]:
    """`compile_routes`, a step for each route."""
    rules: list[_Rule[T]] = []
    for route in routes:
        yield
        matches = possible(route.matches, client)
        if route.matches and not matches:
            continue
        test = compile_matches(matches)
        if test is None:
            return _chooser(rules, _choices(route, clusters))
        pick = compile_pick(*_choices(route, clusters))
        rules.append(_Rule(test, pick, asks_query(matches), _needs_cut(matches)))
    return _chooser(rules, ([], []))


def compile_virtual_hosts(
    virtual_hosts: Sequence[VirtualHost], clusters: Mapping[str, T], client: Client = DEFAULT_CLIENT
) -> Chooser[T]:
    """The chooser of a gateway's listener: exact domains first, then the longest wildcard.

    The authority's port and case do not count. None also when no domain takes the authority.
    """
    return finished(compiling_virtual_hosts(virtual_hosts, clusters, client))


def compiling_virtual_hosts(
    virtual_hosts: Sequence[VirtualHost], clusters: Mapping[str, T], client: Client = DEFAULT_CLIENT
) -> Steps[Chooser[T]]:
    """`compile_virtual_hosts`, a step for each route."""
    choosers: dict[str, Chooser[T]] = {}
    for virtual_host in virtual_hosts:
        chooser = yield from compiling_routes(virtual_host.routes, clusters, client)
        choosers |= dict.fromkeys(virtual_host.domains, chooser)
    if list(choosers) == ["*"]:
        return choosers["*"]
    exact = {domain.encode(): c for domain, c in choosers.items() if not is_wildcard(domain)}
    wildcards = [
        (domain[1:].encode(), choosers[domain])
        for domain in sorted(filter(is_wildcard, choosers), key=specific_first)
    ]

    def choose(
        method: bytes, path: bytes, authority: bytes, headers: Headers, uniform: float
    ) -> Choice[T] | None:
        # As written first: that is how nearly all clients write it.
        chooser = exact.get(authority)
        if chooser is None:
            host = host_of(authority)
            chooser = exact.get(host)
            if chooser is None:
                for suffix, candidate in wildcards:
                    if host.endswith(suffix) and len(host) > len(suffix):
                        chooser = candidate
                        break
                else:
                    return None
        return chooser(method, path, authority, headers, uniform)

    return choose


def host_of(authority: bytes) -> bytes:
    """The host of an authority: lower case, without port and final dot. `[::1]:80` -> `[::1]`."""
    host, colon, port = authority.rpartition(b":")
    if colon and (port.isdigit() or not port):
        authority = host
    return authority.lower().removesuffix(b".")


def _choices(route: Route, clusters: Mapping[str, T]) -> tuple[list[Choice[T]], list[int]]:
    """A route's choices, one per target or the one of its own answer, and their weights."""
    timeout = None if route.timeout_ms is None else route.timeout_ms / 1000
    retry = compile_retry(route.retry)
    if route.redirect is not None or route.direct is not None:
        return [Choice(None, timeout, route, retry, compile_plan(route))], [1]
    shares = [target for target in route.targets if target.weight > 0]
    choices = [
        Choice(clusters[share.cluster], timeout, route, retry, compile_plan(route, share))
        for share in shares
    ]
    return choices, [share.weight for share in shares]


def _needs_cut(matches: Sequence[HttpMatch]) -> bool:
    """Whether a match compares the path to its end. A prefix without `?` can't reach the query."""
    uris = [match.uri for match in matches if match.uri is not None]
    return any(uri.kind != "prefix" or "?" in uri.value for uri in uris)


def _chooser(rules: Sequence[_Rule[T]], last: tuple[list[Choice[T]], list[int]]) -> Chooser[T]:
    """The chooser of conditional `rules` and of the `last` choices when none of them holds."""
    choices, weights = last
    if not rules and len(choices) == 1:
        only = choices[0]
        return lambda method, path, authority, headers, uniform: only
    pick_last = compile_pick(choices, weights) if choices else _none
    if any(rule.whole for rule in rules):
        return _query_chooser(rules, pick_last)
    cut = any(rule.cut for rule in rules)
    tests = [(rule.test, rule.pick) for rule in rules]

    def choose(
        method: bytes, path: bytes, authority: bytes, headers: Headers, uniform: float
    ) -> Choice[T] | None:
        if cut and (end := path.find(b"?")) >= 0:
            path = path[:end]
        for test, pick in tests:
            if test(method, path, authority, headers):
                return pick(uniform)
        return pick_last(uniform)

    return choose


def _query_chooser(
    rules: Sequence[_Rule[T]], pick_last: Callable[[float], Choice[T] | None]
) -> Chooser[T]:
    """As `_chooser`; some of the rules ask for the query."""
    tests = [(rule.test, rule.pick, rule.whole) for rule in rules]

    def choose(
        method: bytes, target: bytes, authority: bytes, headers: Headers, uniform: float
    ) -> Choice[T] | None:
        end = target.find(b"?")
        path = target if end < 0 else target[:end]
        for test, pick, whole in tests:
            if test(method, target if whole else path, authority, headers):
                return pick(uniform)
        return pick_last(uniform)

    return choose


def _none(uniform: float) -> None:
    return None
