"""CONNECT to a tcp port of the mesh: an endpoint's sidecar is greeted, then a tunnel begins.

Everything that can fail does so before the 200: no endpoint, no connection, the wrong account, a
policy of the other side. Counterpart: inbound_tcp.py, at the other end.
"""

import asyncio
import logging
import ssl
from collections.abc import Mapping
from typing import Final

from tulle.actors.proxy.cluster import Cluster
from tulle.actors.proxy.dial import Opener
from tulle.actors.proxy.edge import Surroundings
from tulle.actors.proxy.ends import FramedEnd, PlainEnd
from tulle.actors.proxy.exchange import Exchange
from tulle.actors.proxy.pool import CONNECT_SECONDS, Endpoint, IdentityRefused
from tulle.actors.proxy.tunnel import IDLE_SECONDS, Tunnel, Tunnels
from tulle.actors.proxy.wire.frames import ACCEPTED, Greeting, frame
from tulle.policies.config import OutboundConfig
from tulle.policies.reasons import (
    CONNECT_FAILED,
    CONNECT_TIMEOUT,
    IDENTITY_REFUSED,
    NO_ENDPOINTS,
    PENDING_OVERFLOW,
    RBAC_DENIED,
    REASONS,
    UPSTREAM_OVERFLOW,
    UPSTREAM_PROTOCOL,
    Reason,
)

log = logging.getLogger(__name__)

ENDPOINTS_TRIED: Final = 3
OPENING_LIMIT: Final = 1_024
ESTABLISHED: Final = b"HTTP/1.1 200 Connection established\r\n\r\n"


class Connector:
    """Opens tunnels. `mesh` connects by mTLS and checks accounts."""

    def __init__(self, around: Surroundings, mesh: Opener, tunnels: Tunnels) -> None:
        self._around = around
        self._mesh = mesh
        self._tunnels = tunnels
        self._opening: set[asyncio.Task[None]] = set()
        self._counts: dict[str, int] = {}  # connections by cluster, those being made too

    def connect(self, exchange: Exchange, cluster: Cluster) -> None:
        """Refuses the CONNECT, or parks it until there is a tunnel."""
        name, limits = cluster.config.name, cluster.config.limits
        most = limits.max_connections if limits is not None else None
        count = self._counts.get(name, 0)
        if len(self._opening) >= OPENING_LIMIT:
            exchange.refuse(PENDING_OVERFLOW)
            return
        if most is not None and count >= most:
            exchange.refuse(UPSTREAM_OVERFLOW)
            return
        if not cluster.endpoints:
            exchange.refuse(cluster.refusal)
            return
        self._counts[name] = count + 1
        task = asyncio.get_running_loop().create_task(self._open(exchange, cluster))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)
        seconds = (_connect_seconds(cluster) + 1) * ENDPOINTS_TRIED

        def forget(_: Exchange) -> None:
            task.cancel()

        exchange.park(seconds, CONNECT_TIMEOUT, forget)

    async def _open(self, exchange: Exchange, cluster: Cluster) -> None:
        opened = False
        try:
            found = await self._find(cluster)
            exchange.unpark()
            if isinstance(found, Reason):
                exchange.refuse(found)
            else:
                self._begin(exchange, cluster, *found)
                opened = True
        finally:
            if not opened:
                self._release(cluster)

    async def _find(self, cluster: Cluster) -> tuple[Endpoint, FramedEnd] | Reason:
        """An endpoint that takes the connection, of a few that are tried."""
        tried: list[Endpoint] = []
        why = NO_ENDPOINTS
        while len(tried) < ENDPOINTS_TRIED and (endpoint := cluster.pick(tried)) is not None:
            tried.append(endpoint)
            endpoint.active += 1
            try:
                outcome = await self._try(endpoint, cluster)
            finally:
                endpoint.active -= 1
            if isinstance(outcome, FramedEnd):
                cluster.note_answer(endpoint, 200)
                return endpoint, outcome
            why = outcome
            if why is RBAC_DENIED:
                break  # so would the others
            cluster.note_failure(endpoint)
        return why

    async def _try(self, endpoint: Endpoint, cluster: Cluster) -> FramedEnd | Reason:
        try:
            async with asyncio.timeout(_connect_seconds(cluster)):
                end = await self._mesh.open(endpoint, FramedEnd)
                return await self._greet(end, _idle_seconds(cluster))
        except TimeoutError:
            return CONNECT_TIMEOUT
        except (IdentityRefused, ssl.SSLCertVerificationError) as error:
            log.warning("identity refused: host=%s error=%s", endpoint.host, error)
            return IDENTITY_REFUSED
        except OSError:  # ssl.SSLError among them
            return CONNECT_FAILED

    async def _greet(self, end: FramedEnd, idle: float) -> FramedEnd | Reason:
        """The other sidecar takes the connection, or says why not."""
        answer = b""
        try:
            greeting = Greeting(self._around.spec.id, idle)
            end.transport.write(frame(greeting.encode()))
            answer = await end.greeting()
        finally:
            if answer != ACCEPTED:
                end.cut()
        if answer == ACCEPTED:
            return end
        return REASONS.get(answer.decode("latin-1"), UPSTREAM_PROTOCOL)

    def _begin(
        self, exchange: Exchange, cluster: Cluster, endpoint: Endpoint, server: FramedEnd
    ) -> None:
        around, client = self._around, PlainEnd()
        counts = (endpoint.recorder or cluster.unrouted).labels | {"request_protocol": "tcp"}
        recorder = around.stats.tcp_recorder("source", counts)

        def gone(tunnel: Tunnel) -> None:
            endpoint.active -= 1
            self._tunnels.gone(tunnel)
            self._release(cluster)

        endpoint.active += 1
        exchange.client.hand_over(client)
        tunnel = Tunnel(client, server, recorder, around.wheel, _idle_seconds(cluster), gone)
        self._tunnels.add(tunnel)
        client.transport.write(ESTABLISHED)
        tunnel.start()

    def _release(self, cluster: Cluster) -> None:
        name = cluster.config.name
        self._counts[name] -= 1
        if not self._counts[name]:
            del self._counts[name]


def tcp_clusters(config: OutboundConfig, clusters: Mapping[str, Cluster]) -> dict[int, Cluster]:
    """By port, where a CONNECT to the host may go: tcp ports of services, by mTLS alone."""
    found = {
        port.port: clusters[target.cluster]
        for port in config.ports
        if port.protocol == "tcp"
        for route in port.routes[:1]
        for target in route.targets[:1]
    }
    return {
        port: it
        for port, it in found.items()
        if it.config.service and it.config.tls == "ISTIO_MUTUAL"
    }


def _connect_seconds(cluster: Cluster) -> float:
    limits = cluster.config.limits
    if limits is None or limits.connect_timeout_ms is None:
        return CONNECT_SECONDS
    return limits.connect_timeout_ms / 1_000


def _idle_seconds(cluster: Cluster) -> float:
    limits = cluster.config.limits
    if limits is None or limits.tcp_idle_timeout_ms is None:
        return IDLE_SECONDS
    return limits.tcp_idle_timeout_ms / 1_000
