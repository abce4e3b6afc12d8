"""The edge of a sidecar's inbound tcp port: from other sidecars' tunnels to the app on loopback.

mTLS alone, whatever mode a PeerAuthentication asks for. Counterpart: connect.py, at the other end.
"""

import asyncio
import logging
from typing import Final

from tulle.actors.proxy import labels
from tulle.actors.proxy.dial import Identify, Opener
from tulle.actors.proxy.edge import Surroundings
from tulle.actors.proxy.ends import FramedEnd, PlainEnd
from tulle.actors.proxy.pool import CONNECT_SECONDS, Endpoint
from tulle.actors.proxy.tls import parse_spiffe
from tulle.actors.proxy.tunnel import Tunnel, Tunnels
from tulle.actors.proxy.wire.frames import ACCEPTED, FrameError, Greeting, frame
from tulle.policies.decide.authorize import Authorizer, Caller, Denial
from tulle.policies.reasons import (
    CONNECT_FAILED,
    CONNECT_TIMEOUT,
    PENDING_OVERFLOW,
    RBAC_DENIED,
    Reason,
)

log = logging.getLogger(__name__)

GREETING_SECONDS: Final = 5.0
OPENING_LIMIT: Final = 1_024
PATIENCE_SECONDS: Final = 5.0  # who opened a tunnel ends it first when it is idle


class InboundTcpEdge:
    """`app` is the app's port on loopback, `port` the service port; `identify` tells who a peer
    proved to be."""

    def __init__(
        self, around: Surroundings, app: Endpoint, plain: Opener, identify: Identify, port: int
    ) -> None:
        self.tunnels = Tunnels()
        self._around = around
        self._app = app
        self._plain = plain
        self._identify = identify
        self._port = port
        self._authorizer: Authorizer | None = None
        self._callers: dict[Tunnel, Caller] = {}
        self._opening: set[asyncio.Task[None]] = set()

    def install_authorizer(self, authorizer: Authorizer | None) -> None:
        """Decides about new connections; a tunnel that it would refuse is cut."""
        self._authorizer = authorizer
        refused = [it for it, caller in self._callers.items() if self._denial(caller) is not None]
        for tunnel in refused:
            tunnel.cut(RBAC_DENIED.flag)
        if refused:
            log.info("tunnels cut, as policies now deny them: port=%d count=%d",
                     self._port, len(refused))  # fmt: skip

    def protocol(self) -> asyncio.Protocol:
        """For one accepted connection, after its handshake."""
        return _Arriving(self)

    def arrived(self, peer: FramedEnd) -> None:
        """A connection: talks to nobody who has not proved who they are."""
        principal = self._identify(peer.transport)
        if principal is None:
            peer.transport.abort()
            return
        task = asyncio.get_running_loop().create_task(self._serve(peer, principal))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    def close(self) -> None:
        """No connection that is being opened will be."""
        for task in self._opening:
            task.cancel()

    async def _serve(self, peer: FramedEnd, principal: str) -> None:
        linked = False
        try:
            async with asyncio.timeout(GREETING_SECONDS):
                greeting = Greeting.decode(await peer.greeting())
            caller = self._caller(peer, principal)
            outcome = await self._connect(caller)
            if isinstance(outcome, Reason):
                peer.transport.write(frame(outcome.name.encode()))
                peer.transport.close()
            else:
                self._begin(peer, outcome, caller, greeting)
            linked = True
        except (TimeoutError, ConnectionError, FrameError) as error:
            log.debug("no tunnel: %s", error)
        finally:
            if not linked:
                peer.transport.abort()

    async def _connect(self, caller: Caller) -> PlainEnd | Reason:
        """A connection to the app, or why there is none."""
        denial = self._denial(caller)
        if denial is not None:
            log.debug("denied: %s", denial.detail)
            return RBAC_DENIED
        if len(self._opening) > OPENING_LIMIT:
            return PENDING_OVERFLOW
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                return await self._plain.open(self._app, PlainEnd)
        except TimeoutError:
            return CONNECT_TIMEOUT
        except OSError:
            return CONNECT_FAILED

    def _begin(self, peer: FramedEnd, app: PlainEnd, caller: Caller, greeting: Greeting) -> None:
        around, spec = self._around, self._around.spec
        host = f"{spec.service}.{spec.namespace}.svc.cluster.local"
        recorder = around.stats.tcp_recorder(
            "destination",
            labels.of_peer(f"spiffe://{caller.principal}", greeting.workload),
            labels.of_proxy("destination", spec),
            labels.service_labels(host, spec.service, spec.namespace),
        )
        idle = greeting.idle_seconds and greeting.idle_seconds + PATIENCE_SECONDS
        tunnel = Tunnel(peer, app, recorder, around.wheel, idle, self._gone)
        self._callers[tunnel] = caller
        self.tunnels.add(tunnel)
        peer.transport.write(frame(ACCEPTED))
        tunnel.start()
        if self._denial(caller) is not None:  # the policies changed while the app was connected to
            tunnel.cut(RBAC_DENIED.flag)

    def _gone(self, tunnel: Tunnel) -> None:
        del self._callers[tunnel]
        self.tunnels.gone(tunnel)

    def _denial(self, caller: Caller) -> Denial | None:
        if self._authorizer is None:
            return None
        try:
            return self._authorizer.for_tcp(caller)
        except ValueError:  # a caller without an IP address, which a policy asks for
            return Denial("", "", "A policy asks for the caller's address, which is not known.")

    def _caller(self, peer: FramedEnd, principal: str) -> Caller:
        spiffe = parse_spiffe(principal)
        address = peer.transport.get_extra_info("peername")
        return Caller(
            principal=principal.removeprefix("spiffe://"),
            namespace=spiffe.namespace if spiffe else "",
            account=spiffe.account if spiffe else "",
            address=str(address[0]) if isinstance(address, tuple) else "",
            port=self._port,
        )


class _Arriving(FramedEnd):
    """Tells its edge when the handshake is done."""

    __slots__ = ("_edge",)

    def __init__(self, edge: InboundTcpEdge) -> None:
        super().__init__()
        self._edge = edge

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._edge.arrived(self)
