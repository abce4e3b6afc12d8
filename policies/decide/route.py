"""Which cluster a request goes to: routes specialised to one closure when config is installed.

Per request nothing is looked at that no route asks for; a host with one default route costs a call
that returns a constant. Counterpart: the proxy's exchange, which brings its own cluster objects as
`T`, so that no request looks a name up.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from tulle.policies.config import Labels, Route, VirtualHost
from tulle.policies.decide.match import Headers, RequestTest, compile_matches
from tulle.policies.decide.pick import compile_pick
from tulle.policies.decide.plan import DEFAULT_RETRY, Plan, Retry
from tulle.policies.hostnames import is_wildcard, specific_first

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
class Client:
    """Who routes: matches on it are decided when routes are compiled.

    `scheme`: of the URLs that its listener takes.
    """

    namespace: str = "default"
    labels: Labels = ()
    scheme: Literal["http", "https"] = "http"


Chooser = Callable[[bytes, bytes, bytes, Headers, float], Choice[T] | None]
"""Arguments: method, path (the query may follow), authority, headers, a uniform number in [0, 1).

None: no route takes the request.
"""


def compile_routes(
    routes: Sequence[Route], clusters: Mapping[str, T], client: Client = Client()
) -> Chooser[T]:
    """The chooser of routes in order. `clusters` has every cluster they name, else KeyError."""
    rules: list[tuple[RequestTest, Callable[[float], Choice[T]]]] = []
    for route in routes:
        test = compile_matches(route.matches)
        if test is None:
            return _chooser(rules, _choices(route, clusters), _needs_cut(routes))
        rules.append((test, compile_pick(*_choices(route, clusters))))
    return _chooser(rules, ([], []), _needs_cut(routes))


def compile_virtual_hosts(
    virtual_hosts: Sequence[VirtualHost], clusters: Mapping[str, T], client: Client = Client()
) -> Chooser[T]:
    """The chooser of a gateway's listener: exact domains first, then the longest wildcard.

    The authority's port and case do not count. None also when no domain takes the authority.
    """
    choosers: dict[str, Chooser[T]] = {}
    for virtual_host in virtual_hosts:
        chooser = compile_routes(virtual_host.routes, clusters, client)
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
    timeout = None if route.timeout_ms is None else route.timeout_ms / 1000
    shares = [target for target in route.targets if target.weight > 0]
    choices = [Choice(clusters[share.cluster], timeout, route) for share in shares]
    return choices, [share.weight for share in shares]


def _needs_cut(routes: Sequence[Route]) -> bool:
    """Whether a match compares the path to its end. A prefix without `?` can't reach the query."""
    uris = [match.uri for route in routes for match in route.matches if match.uri is not None]
    return any(uri.kind != "prefix" or "?" in uri.value for uri in uris)


def _chooser(
    rules: Sequence[tuple[RequestTest, Callable[[float], Choice[T]]]],
    last: tuple[list[Choice[T]], list[int]],
    cut: bool,
) -> Chooser[T]:
    """The chooser of conditional `rules` and of the `last` choices when none of them holds."""
    choices, weights = last
    if not rules and len(choices) == 1:
        only = choices[0]
        return lambda method, path, authority, headers, uniform: only
    pick_last = compile_pick(choices, weights) if choices else None

    def choose(
        method: bytes, path: bytes, authority: bytes, headers: Headers, uniform: float
    ) -> Choice[T] | None:
        if cut and (end := path.find(b"?")) >= 0:
            path = path[:end]
        for test, pick in rules:
            if test(method, path, authority, headers):
                return pick(uniform)
        return None if pick_last is None else pick_last(uniform)

    return choose
