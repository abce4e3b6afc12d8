"""`/metrics` and `/healthz` of the whole mesh, on the socket that the watcher holds.

One collector answers for all: it has its own shards at hand and asks on the bus for the others.
Each shard is in an answer exactly once, however it moves meanwhile; if one is at nobody for too
long the answer is 503, since sums without it would look like a restart of everything.
"""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable, Iterator, Mapping
from typing import Final

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from tulle.actors.holding.client import HolderClient, ListenRefused
from tulle.actors.telemetry.exposition import render
from tulle.actors.telemetry.shard import Shard
from tulle.actors.telemetry.shards import NAMES
from tulle.actors.telemetry.shares import SUMS
from tulle.actors.telemetry.totals import merged
from tulle.bus import codec
from tulle.bus.connection import Connection
from tulle.bus.errors import BusError, Undecodable
from tulle.bus.messages import ShardSums
from tulle.bus.subjects import Subjects

DOOR: Final = "http"
TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"
RETRY_SECONDS: Final = 1.0
SUMS_SECONDS: Final = 6.0
"""A collector that dies is back within 4 s (measured)."""
ANSWER_SECONDS: Final = 2.0
AGAIN_SECONDS: Final = 0.05

log = logging.getLogger(__name__)


class Gathering:
    """The sums of all shards; `held` are those of this collector."""

    def __init__(
        self, connection: Connection, subjects: Subjects, held: Mapping[str, Shard]
    ) -> None:
        self._connection = connection
        self._subjects = subjects
        self._held = held

    @property
    def connected(self) -> bool:
        return self._connection.connected

    async def text(self, seconds: float = SUMS_SECONDS) -> bytes:
        """In Prometheus' form. Raises `TimeoutError` when a shard is at nobody for so long."""
        async with asyncio.timeout(seconds), asyncio.TaskGroup() as tasks:
            asked = [tasks.create_task(self._of(name)) for name in NAMES]
        # The text of many series takes long, and batches keep coming.
        return await asyncio.to_thread(_text, [task.result() for task in asked])

    async def _of(self, name: str) -> ShardSums:
        while True:
            if (shard := self._held.get(name)) is not None:
                return shard.totals.summary()
            with contextlib.suppress(BusError, Undecodable):
                subject = self._subjects.collect(SUMS, name)
                answer = await self._connection.request(subject, timeout=ANSWER_SECONDS)
                return await asyncio.to_thread(codec.decode, ShardSums, answer.data)
            await asyncio.sleep(AGAIN_SECONDS)


async def serve_for_ever(
    holder: str, name: str, gathering: Gathering, serving: asyncio.Event
) -> None:
    """Serves on the socket that `holder` lends to `name`; `serving` is set while it does."""
    while True:
        try:
            await _serve(holder, name, _app(gathering), serving.set)
        except (OSError, ListenRefused, TimeoutError) as error:
            log.warning("no HTTP port yet: error=%s", error)
        serving.clear()
        await asyncio.sleep(RETRY_SECONDS)


async def _serve(path: str, name: str, app: Starlette, on_ready: Callable[[], None]) -> None:
    """Serves until the holder is gone."""
    lost = asyncio.Event()
    holder = await HolderClient.connect(path, name, "", _no_commands, lost.set)
    try:
        sock = await holder.listen(DOOR)
        server = _Server(uvicorn.Config(app, lifespan="off", access_log=False, log_config=None))
        serving = asyncio.create_task(server.serve([sock]))
        holder.tell("ready")
        on_ready()
        try:
            gone = asyncio.create_task(lost.wait())
            await asyncio.wait([serving, gone], return_when=asyncio.FIRST_COMPLETED)
        finally:
            await _end(server, serving, sock)
    finally:
        holder.close()


def _app(gathering: Gathering) -> Starlette:
    async def metrics(request: Request) -> Response:
        try:
            return Response(await gathering.text(), media_type=TEXT)
        except TimeoutError:
            sentence = f"Some figures are at no collector since {SUMS_SECONDS:.0f} s: try again.\n"
            return PlainTextResponse(sentence, 503)

    async def healthz(request: Request) -> JSONResponse:
        ok = gathering.connected
        return JSONResponse({"ok": ok}, status_code=200 if ok else 503)

    return Starlette(routes=[Route("/metrics", metrics), Route("/healthz", healthz)])


def _text(parts: list[ShardSums]) -> bytes:
    own = [
        ("tulle_telemetry_proxies", float(sum(part.proxies for part in parts))),
        ("tulle_telemetry_series_refused_total", float(sum(part.refused for part in parts))),
    ]
    return render(merged(parts), own)


class _Server(uvicorn.Server):
    """Signals are the process's affair, which has other things to end.

    Uvicorn's own loop looks ten times a second whether to end; this one is told. What it does
    besides, the date of its answers, is due each second.
    """

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._leaving = asyncio.Event()

    def leave(self) -> None:
        """Ends it, requests under way included."""
        self.should_exit = self.force_exit = True
        self._leaving.set()

    async def main_loop(self) -> None:
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await self._leaving.wait()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _end(server: _Server, serving: asyncio.Task[None], sock: socket.socket) -> None:
    server.leave()
    await asyncio.wait([serving], timeout=2.0)
    serving.cancel()
    sock.close()


async def _no_commands(command: str) -> None:
    log.warning("unknown command of the holder: %s", command)
