"""Who routes, and what of a route's matches that decides before any request has come."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final, Literal

from tulle.policies.config import HttpMatch, Labels
from tulle.policies.decide.match import compile_value


@dataclass(frozen=True, slots=True)
class Client:
    """Who routes: matches on it are decided when routes are compiled.

    `scheme`: of the URLs that its listener takes.
    """

    namespace: str = "default"
    labels: Labels = ()
    scheme: Literal["http", "https"] = "http"


DEFAULT_CLIENT: Final = Client()


def possible(matches: Iterable[HttpMatch], client: Client) -> tuple[HttpMatch, ...]:
    """The matches that may hold for requests of `client`, without what they ask of it."""
    here = (match for match in matches if _may_hold(match, client))
    plain = (replace(m, scheme=None, source_labels=(), source_namespace="") for m in here)
    return tuple(dict.fromkeys(plain))


def _may_hold(match: HttpMatch, client: Client) -> bool:
    if match.source_namespace not in ("", client.namespace):
        return False
    if not set(match.source_labels) <= set(client.labels):
        return False
    return match.scheme is None or compile_value(match.scheme)(client.scheme.encode())
