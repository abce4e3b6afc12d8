"""Certificates rotate under traffic: no request fails, and connections move to the new ones."""

import asyncio
from contextlib import AsyncExitStack
from functools import partial
from typing import Any, cast

import pytest

from tests.support.awaiting import until
from tests.support.certificates import MeshRoot
from tests.support.open_doors import Door, door
from tests.support.serving_plane import (
    CREDENTIAL,
    Backend,
    connected,
    hosts_config,
    outbound_config,
    read_head,
    service_cluster,
    service_record,
    spec,
)
from tulle.actors.proxy.plane import Plane

RATE = 150.0  # requests a second, whatever becomes of those before
ROTATIONS = 12
PAUSE = 0.25  # seconds between two rotations

pytestmark = pytest.mark.asyncio


class Load:
    """Open loop: requests leave at their time, on as many connections as it takes."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._tasks: set[asyncio.Task[None]] = set()
        self.sent = 0
        self.failures: list[object] = []
        self.answered = 0

    async def run(self, until: asyncio.Event) -> None:
        """Returns when all have been answered, or have failed."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        while not until.is_set():
            task = asyncio.create_task(self._request(self.sent))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            self.sent += 1
            await asyncio.sleep(max(0.0, begun + self.sent / RATE - loop.time()))
        await asyncio.gather(*self._tasks)

    async def _request(self, number: int) -> None:
        method = (b"GET", b"POST")[number % 2]  # a POST is not tried again
        body = b"" if method == b"GET" else b"x" * 100
        head = b"%b http://reviews:9080/ HTTP/1.1\r\nHost: x\r\n" % method + CREDENTIAL
        try:
            async with connected(self._port) as client:
                client.send(head + b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
                status, answer, _ = await client.answer()
        except (OSError, EOFError) as error:
            self.failures.append(error)
            return
        if status == 200:
            self.answered += 1
        else:
            self.failures.append(answer)


async def app(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers after a moment, so that requests are under way whenever something changes."""
    while True:
        head = await read_head(reader)
        if b"POST" in head:
            await reader.readexactly(100)
        await asyncio.sleep(0.01)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


def serials_at(server: Door, seen: set[str]) -> None:
    """Notes the serial numbers of the clients that are connected."""
    for client in server.plane._inbound[9080].connections:
        peer = cast(dict[str, Any], client.transport.get_extra_info("peercert"))
        seen.add(peer["serialNumber"])


async def test_both_sides_rotate_many_times_under_load_and_no_request_fails() -> None:
    root, loop = MeshRoot(), asyncio.get_running_loop()
    async with AsyncExitStack() as stack:
        backend = await stack.enter_async_context(Backend(app))
        theirs = Plane(
            spec("sidecar", backend.port, "reviews"), loop=loop, want_host=lambda host: None
        )
        server = await stack.enter_async_context(
            door(theirs, "inbound:9080", root.identity("reviews"))
        )
        ours = Plane(spec("sidecar", 0, "productpage"), loop=loop, want_host=lambda host: None)
        ours.install_identity(root.identity("productpage"))
        ours.install_hosts(hosts_config("reviews"))
        ours.install_service(service_record(server.port))
        ours.install_outbound(outbound_config(service_cluster()))
        outbound = await stack.enter_async_context(door(ours, "outbound"))

        ended, load = asyncio.Event(), Load(outbound.port)
        running = asyncio.create_task(load.run(ended))
        clients: set[str] = set()

        def has_seen(count: int) -> bool:
            serials_at(server, clients)
            return len(clients) >= count

        for number in range(ROTATIONS):
            await asyncio.sleep(PAUSE)  # the load goes on meanwhile
            if number % 3 != 1:
                server.renew(root.identity("reviews"))
                await until(lambda: server.number in server.used)
            if number % 3 != 2:
                seen = len(clients)
                ours.install_identity(root.identity("productpage"))
                await until(partial(has_seen, seen + 1))
        ended.set()
        await running

        assert load.failures == []
        assert load.answered == load.sent > 10 * ROTATIONS
        assert len(server.used) == 1 + ROTATIONS * 2 // 3
        # None is left of a certificate before the last but one.
        left: set[str] = set()
        serials_at(server, left)
        assert len(left) <= 1
