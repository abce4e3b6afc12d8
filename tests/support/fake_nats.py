"""A server that speaks just enough NATS to misbehave: for what a real nats-server never does."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import orjson

Misbehave = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass(slots=True)
class FakeNats:
    """`connections` counts the clients that got as far as their first PONG."""

    url: str = ""
    connections: int = 0


@asynccontextmanager
async def serve_fake_nats(
    misbehave: Misbehave, *, greets: bool = True, version: str = "2.15.1"
) -> AsyncIterator[FakeNats]:
    """Greets each client properly, if it `greets`, then leaves it to `misbehave`."""
    fake = FakeNats()
    handlers: set[asyncio.Task[None]] = set()

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        info = {"version": version, "headers": True, "max_payload": 1024, "auth_required": True}
        writer.write(b"INFO " + orjson.dumps(info) + b"\r\n")
        await until_ping(reader)
        writer.write(b"PONG\r\n")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if greets:
                await greet(reader, writer)
            fake.connections += 1
            await misbehave(reader, writer)
        except ConnectionError:
            pass
        finally:
            writer.close()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handlers.add(asyncio.create_task(serve(reader, writer)))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    fake.url = f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield fake
    finally:
        server.close()
        for handler in handlers:
            handler.cancel()
        await asyncio.gather(*handlers, return_exceptions=True)


async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Listens until the client goes."""
    await reader.read()


async def answer_pings(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """What a healthy server does, until the client goes."""
    while True:
        await until_ping(reader)
        writer.write(b"PONG\r\n")


async def until_ping(reader: asyncio.StreamReader) -> None:
    """Returns at the client's next ping. Raises `ConnectionError` when it goes."""
    while line := await reader.readline():
        if line.strip() == b"PING":
            return
    raise ConnectionResetError("the client went")
