"""Requests for hosts that are not of the mesh: to the address that their name has, in plain HTTP.

Never to loopback, link-local, multicast or unspecified addresses nor to a listener of the mesh: an
app could reach what is behind a proxy's back. All addresses of a name must be allowed.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import Final

from tulle.actors.proxy import labels
from tulle.actors.proxy.cluster import Cluster, only_choice
from tulle.actors.proxy.edge import Surroundings
from tulle.actors.proxy.exchange import Exchange
from tulle.actors.proxy.pool import Dialer, Endpoint
from tulle.policies.config import Cluster as ClusterConfig
from tulle.policies.reasons import (
    PASSTHROUGH_FORBIDDEN,
    PENDING_OVERFLOW,
    UNKNOWN_ADDRESS,
    Reason,
)

RESOLVE_SECONDS: Final = 5.0
RESOLVING_LIMIT: Final = 256  # names at once
WAITING_LIMIT: Final = 1_000  # requests
REMEMBERED: Final = 1_024  # names
REMEMBERED_SECONDS: Final = 5.0
DEFAULT_PORT: Final = 80

Resolve = Callable[[str], Awaitable[Sequence[str]]]
"""The addresses of a host's name; OSError when it has none."""


async def resolve(host: str) -> Sequence[str]:
    """By getaddrinfo, in a thread."""
    found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


@dataclass(slots=True)
class _Known:
    """What a name was resolved to: a cluster, or why there is none."""

    outcome: Cluster | Reason
    until: float


Target = tuple[str, int]


class Passthrough:
    """`is_listener(address, port)` tells the listeners of the mesh."""

    def __init__(
        self,
        around: Surroundings,
        dial: Dialer,
        resolve: Resolve,
        is_listener: Callable[[str, int], bool],
    ) -> None:
        self._around = around
        self._dial = dial
        self._resolve = resolve
        self._is_listener = is_listener
        self._known: dict[Target, _Known] = {}
        self._waiting: dict[Target, dict[Exchange, None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def admit(self, exchange: Exchange) -> None:
        """Forwards, refuses, or waits for the address."""
        host = exchange.head.host
        target = (host.host, host.port or DEFAULT_PORT)
        known = self._known.get(target)
        if known is not None and self._around.wheel.now < known.until:
            self._conclude(exchange, known.outcome)
            return
        waiting = self._waiting.get(target)
        if waiting is None:
            if len(self._waiting) >= RESOLVING_LIMIT:
                exchange.refuse(PENDING_OVERFLOW)
                return
            waiting = self._waiting[target] = {}
            task = asyncio.get_running_loop().create_task(self._look_up(target))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        elif len(waiting) >= WAITING_LIMIT:
            exchange.refuse(PENDING_OVERFLOW)
            return
        waiting[exchange] = None
        exchange.park(RESOLVE_SECONDS * 2, UNKNOWN_ADDRESS, lambda gone: waiting.pop(gone, None))

    def _conclude(self, exchange: Exchange, outcome: Cluster | Reason) -> None:
        if isinstance(outcome, Reason):
            exchange.refuse(outcome)
            return
        self._around.tracer.complete(exchange.head)
        exchange.forward(only_choice(outcome), [])

    async def _look_up(self, target: Target) -> None:
        outcome: Cluster | Reason = UNKNOWN_ADDRESS
        try:
            async with asyncio.timeout(RESOLVE_SECONDS):
                outcome = self._judge(target, await self._resolve(target[0]))
        except (OSError, UnicodeError):  # no address, none in time, or not even a name
            pass
        finally:
            self._remember(target, outcome)
            for exchange in list(self._waiting.pop(target)):
                exchange.unpark()
                self._conclude(exchange, outcome)

    def _judge(self, target: Target, addresses: Sequence[str]) -> Cluster | Reason:
        host, port = target
        if not addresses:
            return UNKNOWN_ADDRESS
        if any(is_forbidden(it) or self._is_listener(it, port) for it in addresses):
            return PASSTHROUGH_FORBIDDEN
        known = self._known.get(target)
        if known is not None and isinstance(known.outcome, Cluster):
            if [endpoint.address for endpoint in known.outcome.endpoints] == list(addresses):
                return known.outcome  # with its connections
        around = self._around
        recorder = around.stats.recorder(
            "source",
            labels.of_proxy("source", around.spec),
            labels.UNKNOWN_DESTINATION,
            labels.service_labels("PassthroughCluster", "PassthroughCluster", labels.UNKNOWN),
        )
        config = ClusterConfig("PassthroughCluster", host, port, tls="DISABLE")
        cluster = Cluster(config, recorder)
        cluster.endpoints = tuple(
            Endpoint(address, port, self._dial, around.wheel) for address in addresses
        )
        return cluster

    def _remember(self, target: Target, outcome: Cluster | Reason) -> None:
        before = self._known.pop(target, None)
        if before is not None and before.outcome is not outcome:
            _retire(before.outcome)
        if len(self._known) >= REMEMBERED:
            _retire(self._known.pop(next(iter(self._known))).outcome)
        self._known[target] = _Known(outcome, self._around.wheel.now + REMEMBERED_SECONDS)


def is_forbidden(address: str) -> bool:
    """Whether an address is of this machine or link, or of nobody in particular."""
    ip = ip_address(address.partition("%")[0])
    if isinstance(ip, IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    return (
        ip.is_loopback or ip.is_link_local or ip.is_unspecified or ip.is_multicast or ip.is_reserved
    )


def _retire(outcome: Cluster | Reason) -> None:
    if isinstance(outcome, Cluster):
        for endpoint in outcome.endpoints:
            endpoint.retire()
