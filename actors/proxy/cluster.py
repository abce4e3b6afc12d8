"""Clusters: which endpoints a route's requests may go to, and which of them one goes to.

Clusters are rebuilt with each install; endpoints with their connections outlive them (plane.py).
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from random import random
from typing import Final

from tulle.actors.proxy.ejection import Ejection
from tulle.actors.proxy.limits import Limits
from tulle.actors.proxy.pool import Endpoint
from tulle.actors.proxy.stats import Recorder
from tulle.policies import config
from tulle.policies.decide.plan import DEFAULT_RETRY, Retry
from tulle.policies.decide.route import Choice
from tulle.policies.reasons import (
    NO_ENDPOINTS,
    REASONS,
    TCP_PORT,
    UPSTREAM_NEEDS_TLS,
    UPSTREAM_OVERFLOW,
    Reason,
)

Uniform = Callable[[], float]  # in [0, 1)
Picker = Callable[[Sequence[Endpoint]], Endpoint]

_NO_ROUTE: Final = config.Route("", (), ())


class Cluster:
    """Where a route sends requests. `unrouted` counts those that reach no endpoint.

    `available` are its endpoints but for those that are ejected. `ejection` None: none ever is.
    """

    __slots__ = (
        "__weakref__",
        "_endpoints",
        "_pick",
        "available",
        "config",
        "ejection",
        "limits",
        "mutual",
        "unrouted",
    )

    def __init__(
        self,
        config: config.Cluster,
        unrouted: Recorder,
        uniform: Uniform = random,
        ejection: Ejection | None = None,
        limits: Limits | None = None,
    ) -> None:
        self.config = config
        self.unrouted = unrouted
        self.mutual = False  # all endpoints are, as whoever gives them says
        self.limits = limits
        self.ejection = ejection
        self.available: tuple[Endpoint, ...] = ()
        self._endpoints: tuple[Endpoint, ...] = ()
        self._pick = _PICKERS[config.balancer](uniform)
        if ejection is not None:
            ejection.watch(self.refresh)

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """All of them, the ejected ones too."""
        return self._endpoints

    @endpoints.setter
    def endpoints(self, endpoints: tuple[Endpoint, ...]) -> None:
        self._endpoints = endpoints
        self.refresh()

    def refresh(self) -> None:
        """Endpoints came, went, were ejected or are back."""
        ejection = self.ejection
        self.available = (
            self._endpoints if ejection is None else ejection.available(self._endpoints)
        )

    def note_failure(self, endpoint: Endpoint) -> None:
        """A request got no answer from `endpoint`."""
        if self.ejection is not None:
            self.ejection.failed(endpoint, self._endpoints)

    def note_answer(self, endpoint: Endpoint, status: int) -> None:
        """A request was answered. Need not be told of those under 500 while nothing fails."""
        if self.ejection is not None:
            self.ejection.answered(endpoint, status, self._endpoints)

    def pick(self, tried: Collection[Endpoint]) -> Endpoint | None:
        """The endpoint for a request; None when there is none outside `tried`."""
        endpoints: Sequence[Endpoint] = self.available
        if tried:
            endpoints = [endpoint for endpoint in endpoints if endpoint not in tried]
        if len(endpoints) < 2:
            return endpoints[0] if endpoints else None
        return self._pick(endpoints)

    @property
    def refusal(self) -> Reason:
        """Why there is no endpoint."""
        config = self.config
        if config.broken:
            return REASONS[config.broken]
        return needs_tls(config) if is_unencrypted_https(config) else NO_ENDPOINTS


def is_unencrypted_https(config: config.Cluster) -> bool:
    """Whether the port wants TLS and the config asks for none: it takes no request."""
    return config.protocol in ("https", "tls") and config.upstream_tls is None


def needs_tls(config: config.Cluster) -> Reason:
    """Says which DestinationRule is missing."""
    return replace(
        UPSTREAM_NEEDS_TLS,
        sentence=f"Port {config.port} of {config.host} is {config.protocol}: a DestinationRule for "
        f"{config.host} with trafficPolicy.tls.mode SIMPLE is missing.",
    )


class LimitedCluster(Cluster):
    """One with limits on its connections and requests."""

    __slots__ = ()

    def pick(self, tried: Collection[Endpoint]) -> Endpoint | None:
        """As of other clusters; None also when too many requests are under way."""
        return None if self._full else super().pick(tried)

    @property
    def refusal(self) -> Reason:
        """Why there is no endpoint."""
        return UPSTREAM_OVERFLOW if self._full and self.endpoints else super().refusal

    @property
    def _full(self) -> bool:
        return self.limits is not None and self.limits.full


class TcpCluster(Cluster):
    """A tcp port as routes of requests see it: it takes none."""

    __slots__ = ()

    @property
    def refusal(self) -> Reason:
        """Why there is no endpoint."""
        return super().refusal if self.config.broken else TCP_PORT


def for_requests(clusters: Mapping[str, Cluster]) -> Mapping[str, Cluster]:
    """The clusters of a config as routes of requests may use them."""
    return {
        name: TcpCluster(it.config, it.unrouted) if it.config.protocol == "tcp" else it
        for name, it in clusters.items()
    }


def only_choice(cluster: Cluster, retry: Retry = DEFAULT_RETRY) -> Choice[Cluster]:
    """The choice of those who have no other."""
    return Choice(cluster, None, _NO_ROUTE, retry)


def _round_robin(uniform: Uniform) -> Picker:
    # Proxies that start together must not march in step.
    turn = int(uniform() * 1_000_000)

    def pick(endpoints: Sequence[Endpoint]) -> Endpoint:
        nonlocal turn
        turn += 1
        return endpoints[turn % len(endpoints)]

    return pick


def _least_request(uniform: Uniform) -> Picker:
    """The less busy of two that are drawn."""

    def pick(endpoints: Sequence[Endpoint]) -> Endpoint:
        count = len(endpoints)
        one = int(uniform() * count)
        # Another one than the first, each with equal chance.
        other = (one + 1 + int(uniform() * (count - 1))) % count
        first, second = endpoints[one], endpoints[other]
        return first if first.active <= second.active else second

    return pick


def _random(uniform: Uniform) -> Picker:
    def pick(endpoints: Sequence[Endpoint]) -> Endpoint:
        return endpoints[int(uniform() * len(endpoints))]

    return pick


_PICKERS: Final[dict[config.Balancer, Callable[[Uniform], Picker]]] = {
    "ROUND_ROBIN": _round_robin,
    "LEAST_REQUEST": _least_request,
    "RANDOM": _random,
}
