"""A plane's doors on real sockets, as `Doors` opens them, and clients with and without TLS."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.support.serving_plane import Client
from tulle.actors.holding.group import open_listening
from tulle.actors.proxy.doors import listener_of
from tulle.actors.proxy.plane import Plane
from tulle.actors.proxy.tls import Identity, client_context, server_context


class Door:
    """An open door; `identity` is shown by an inbound one, and may change.

    `used`: how many identities came before each one that a handshake was made with.
    """

    def __init__(self, plane: Plane, name: str, identity: Identity | None) -> None:
        self.plane = plane
        self._context = server_context(identity) if identity else None
        self.number = 0
        self.used: set[int] = set()
        self._sock = open_listening("127.0.0.1", 0)
        self.port: int = self._sock.getsockname()[1]
        self.listener = listener_of(plane, name, self._sock, self._current)

    def renew(self, identity: Identity) -> None:
        """As the actor does when it has a new certificate."""
        self._context = server_context(identity)
        self.number += 1
        self.plane.install_identity(identity)

    def _current(self) -> ssl.SSLContext:
        assert self._context is not None
        self.used.add(self.number)
        return self._context


@asynccontextmanager
async def door(plane: Plane, name: str, identity: Identity | None = None) -> AsyncIterator[Door]:
    """Closed, with all its connections, at the end."""
    opened = Door(plane, name, identity)
    opened.listener.start()
    try:
        yield opened
    finally:
        opened.listener.close()
        await plane.drain("all", 0)


@asynccontextmanager
async def peer(port: int, identity: Identity) -> AsyncIterator[Client]:
    """A client that proves an identity of the mesh."""
    async with secure(port, client_context(identity), "") as client:
        yield client


@asynccontextmanager
async def secure(port: int, context: ssl.SSLContext, name: str | None) -> AsyncIterator[Client]:
    """A TLS client that asks for server `name`."""
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=context, server_hostname=name
    )
    try:
        yield Client(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def ends(client: Client) -> bool:
    """Whether the connection ends without a further byte."""
    try:
        return await client.all() == b""
    except ConnectionResetError:
        return True
