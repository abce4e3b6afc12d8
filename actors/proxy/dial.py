"""How connections to endpoints are made: plain, or mTLS with the peer's account checked.

Counterparts: origination.py for TLS of other kinds, names.py for endpoints that are names.
"""

import asyncio
import ssl
from collections.abc import Callable
from typing import Protocol, TypeVar

from tulle.actors.proxy.pool import Endpoint, IdentityRefused
from tulle.actors.proxy.tls import Identity
from tulle.actors.proxy.upstream import UpstreamConnection

Identify = Callable[[asyncio.BaseTransport], str | None]
P = TypeVar("P", bound=asyncio.Protocol)


class Opener(Protocol):
    """Makes connections for any protocol."""

    async def open(self, endpoint: Endpoint, factory: Callable[[], P]) -> P: ...


class PlainDialer:
    """Connects without TLS: to the app, and to hosts outside the mesh."""

    generation = 0

    async def __call__(self, endpoint: Endpoint, address: str = "") -> UpstreamConnection:
        return await self.open(endpoint, lambda: UpstreamConnection(endpoint, 0), address)

    async def open(self, endpoint: Endpoint, factory: Callable[[], P], address: str = "") -> P:
        """A connection with a protocol of `factory`, to one address of a name. Raises OSError."""
        loop = asyncio.get_running_loop()
        to = address or endpoint.address
        _, protocol = await loop.create_connection(factory, to, endpoint.port)
        return protocol


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
        generation = self.generation
        return await self.open(endpoint, lambda: UpstreamConnection(endpoint, generation), address)

    async def open(self, endpoint: Endpoint, factory: Callable[[], P], address: str = "") -> P:
        """A connection whose peer is one of the endpoint's accounts.

        Raises OSError, and IdentityRefused when it is of another.
        """
        if self._context is None:
            raise ConnectionError("this proxy has no certificate yet")
        transport, protocol = await asyncio.get_running_loop().create_connection(
            factory,
            address or endpoint.address,
            endpoint.port,
            ssl=self._context,
            server_hostname="",
        )
        peer = self._identify(transport)
        if peer is None or peer not in endpoint.accounts:
            transport.abort()
            raise IdentityRefused(f"{endpoint.host}: {peer} is none of {set(endpoint.accounts)}")
        return protocol
