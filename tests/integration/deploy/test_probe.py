"""Checks of an app over real sockets."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from tulle.deploy import probe


@contextlib.asynccontextmanager
async def app(answer: bytes | None, address: str = "127.0.0.1") -> AsyncIterator[int]:
    """A server that answers any request so; None: it never does."""
    open_ones: set[asyncio.StreamWriter] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_ones.add(writer)
        if await reader.readline() and answer is not None:
            writer.write(answer)
            writer.close()

    server = await asyncio.start_server(serve, address, 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in open_ones:
            writer.close()
        await server.wait_closed()


@pytest.mark.asyncio
async def test_an_app_is_well_when_it_accepts_on_every_port() -> None:
    async with app(None) as one, app(None) as two:
        assert await probe.healthy([one, two])
    assert not await probe.healthy([one])
    async with app(None) as one:
        assert not await probe.healthy([one, two])


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("answer", "well"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", True),
        (b"HTTP/1.0 204 No Content\r\n\r\n", True),
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", False),
        (b"HTTP/1.1 302 Found\r\n\r\n", False),
        (b"200\r\n", False),
        (b"x" * 20_000, False),
        (b"", False),
    ],
)
async def test_health_is_a_2xx(answer: bytes, well: bool) -> None:
    async with app(answer) as port:
        assert await probe.healthy([port], "/healthz") is well


@pytest.mark.asyncio
async def test_an_app_that_hangs_is_not_well() -> None:
    async with app(None) as port:
        assert not await probe.healthy([port], "/healthz", seconds=0.1)


@pytest.mark.asyncio
async def test_it_is_asked_where_it_listens() -> None:
    async with app(b"HTTP/1.1 200 OK\r\n\r\n", "127.0.0.2") as port:
        assert await probe.healthy([port], "/healthz", address="127.0.0.2")
        assert not await probe.healthy([port], "/healthz")
