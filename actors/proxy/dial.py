"""How connections to endpoints are made: plain, or mTLS with the peer's account checked.

Counterparts: origination.py for TLS of other kinds, names.py for endpoints that are names.
"""

import asyncio
import ssl
from collections.abc import Callable

from tulle.actors.proxy.pool import Endpoint, IdentityRefused
from tulle.actors.proxy.tls import Identity
from tulle.actors.proxy.upstream import UpstreamConnection

Identify = Callable[[asyncio.BaseTransport], str | None]


class PlainDialer:
    """Connects without TLS: to the app, and to hosts outside the mesh."""

    generation = 0

    async def __call__(self, endpoint: Endpoint, address: str = "") -> UpstreamConnection:
        loop = asyncio.get_running_loop()
        _, upstream = await loop.create_connection(
            lambda: UpstreamConnection(endpoint, 0), address or endpoint.address, endpoint.port
        )
        return upstream


class MeshDialer:
    """Connects by mTLS, as the identity that was installed last."""

    def __init__(self, context: Callable[[Identity], ssl.SSLContext], identify: Identify) -> None:
        self.generation = 0
        self._make_context = context
        self._identify = identify
        self._context: ssl.SSLContext | None = None

    def install(self, identity: Identity) -> None:
        """New connections prove `identity`; those made before are used for no new request."""
        self._context = self._make_context(identity)
        self.generation += 1

    async def __call__(self, endpoint: Endpoint, address: str = "") -> UpstreamConnection:
        if self._context is None:
            raise ConnectionError("this proxy has no certificate yet")
        generation = self.generation
        transport, upstream = await asyncio.get_running_loop().create_connection(
            lambda: UpstreamConnection(endpoint, generation),
            address or endpoint.address,
            endpoint.port,
            ssl=self._context,
            server_hostname="",
        )
        peer = self._identify(transport)
        if peer is None or peer not in endpoint.accounts:
            transport.abort()
            raise IdentityRefused(f"{endpoint.host}: {peer} is none of {set(endpoint.accounts)}")
        return upstream
