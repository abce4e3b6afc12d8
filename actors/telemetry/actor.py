"""A telemetry collector as an actor: hears all proxies, serves `/metrics` and `/healthz` over HTTP.

`totals.py` sums, `exposition.py` makes the text. A new collector asks all proxies for everything,
so that a restart needs nobody; what proxies that are gone had counted it has from its folder. The
HTTP socket is the watcher's, lent by its holder.
"""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tulle.actors import logs
from tulle.actors.control import ControlSpec
from tulle.actors.holding.client import HolderClient, ListenRefused
from tulle.actors.lives import Lives
from tulle.actors.serving import connect_for_ever
from tulle.actors.telemetry import remembered
from tulle.actors.telemetry.exposition import render
from tulle.actors.telemetry.totals import Totals
from tulle.bus import codec
from tulle.bus.connection import Connection
from tulle.bus.errors import BusError, Undecodable
from tulle.bus.messages import TelemetryBatch
from tulle.bus.subjects import Subjects
from tulle.bus.subscription import Message

DOOR: Final = "http"
TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"
RETRY_SECONDS: Final = 1.0
TICK_SECONDS: Final = 5.0
SAVE_SECONDS: Final = 2.0
SAVE_PAUSE: Final = 20
"""Times as long as saving took, it is not done again: a twentieth of a core at most."""
WAITING_LIMIT: Final = 1_000  # proxies that end at once
FOLDER: Final = "telemetry"  # in the mesh's

log = logging.getLogger(__name__)


class CollectorActor:
    """Starts itself on the running loop; a restart needs nobody."""

    def __init__(self, spec: ControlSpec) -> None:
        logs.start(spec.name, spec.log_folder, as_json=spec.json_logs)
        self._spec = spec
        self._subjects = Subjects(spec.mesh)
        self._folder = Path(spec.home) / FOLDER
        self._totals = Totals()
        self._restored = False
        self._waiting: list[str] = []  # where it is to be said that all is saved
        self._wanted = asyncio.Event()
        self._connection: Connection | None = None
        self._lives = Lives(spec.name, self._live)

    async def health(self) -> None:
        """Returns once it serves. Raises what kept it from that."""
        await self._lives.health()

    async def stop(self) -> None:
        """Ends it at once."""
        await self._lives.stop()

    async def _live(self) -> None:
        if not self._restored:
            self._totals.restore(await asyncio.to_thread(remembered.load, self._folder))
            self._restored = True
        self._connection = await connect_for_ever(self._spec)
        try:
            await self._connection.subscribe(self._subjects.telemetry_all, self._on_batch)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._ask_all())
                tasks.create_task(self._tick())
                tasks.create_task(self._save_for_ever())
                tasks.create_task(self._serve_for_ever())
        finally:
            await self._connection.close()

    async def _ask_all(self) -> None:
        """All that proxies counted before we were here, or while our link was broken."""
        assert self._connection is not None
        subject = self._subjects.proxy_command("all", "telemetry")
        due = asyncio.Event()
        due.set()
        self._connection.on_reconnect(due.set)
        while True:
            await due.wait()
            due.clear()
            try:
                await self._connection.publish(subject)
            except BusError as error:
                due.set()
                log.warning("proxies were not asked yet: error=%s", error)
                await asyncio.sleep(RETRY_SECONDS)

    async def _tick(self) -> None:
        while True:
            self._totals.on_time(asyncio.get_running_loop().time())
            await asyncio.sleep(TICK_SECONDS)

    async def _on_batch(self, message: Message) -> None:
        try:
            batch = codec.decode(TelemetryBatch, message.data)
        except Undecodable as error:
            log.warning("telemetry can't be read: subject=%s error=%s", message.subject, error)
            return
        # Permissions guard the subject, so that is whose figures they are.
        if self._subjects.parse(message.subject).parts[1] != batch.proxy:
            log.warning("telemetry of another: subject=%s proxy=%s", message.subject, batch.proxy)
            return
        self._totals.add(batch)
        if message.reply and len(self._waiting) < WAITING_LIMIT:
            self._waiting.append(message.reply)
            self._wanted.set()

    async def _save_for_ever(self) -> None:
        """Remembers what changed: now and then, and at once for those who wait for it."""
        saved, pause = self._totals.changes, SAVE_SECONDS
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._wanted.wait()
            self._wanted.clear()
            if self._totals.changes != saved:
                saved = self._totals.changes
                took = await self._save()
                pause = max(SAVE_SECONDS, took * SAVE_PAUSE)
                await asyncio.sleep(took)  # whoever wants it, other work goes on as well

    async def _save(self) -> float:
        """Saves, and says so to those who wait; the seconds that it took."""
        waiting, self._waiting = self._waiting, []
        began = asyncio.get_running_loop().time()
        try:
            await asyncio.to_thread(remembered.save, self._folder, self._totals.remember())
            for reply in waiting:
                assert self._connection is not None
                await self._connection.publish(reply)
        except (OSError, BusError) as error:
            log.warning("not saved, or not said: folder=%s error=%s", self._folder, error)
        return asyncio.get_running_loop().time() - began

    # HTTP.

    async def _serve_for_ever(self) -> None:
        while True:
            try:
                await self._serve()
            except (OSError, ListenRefused, TimeoutError) as error:
                log.warning("no HTTP port yet: error=%s", error)
            self._lives.serving.clear()
            await asyncio.sleep(RETRY_SECONDS)

    async def _serve(self) -> None:
        """Serves on the holder's socket, until the holder is gone."""
        lost = asyncio.Event()
        holder = await HolderClient.connect(
            self._spec.holder, self._spec.name, "", _no_commands, lost.set
        )
        try:
            sock = await holder.listen(DOOR)
            server = _Server(
                uvicorn.Config(self._app(), lifespan="off", access_log=False, log_config=None)
            )
            serving = asyncio.create_task(server.serve([sock]))
            holder.tell("ready")
            self._lives.serving.set()
            try:
                gone = asyncio.create_task(lost.wait())
                await asyncio.wait([serving, gone], return_when=asyncio.FIRST_COMPLETED)
            finally:
                await _end(server, serving, sock)
        finally:
            holder.close()

    def _app(self) -> Starlette:
        return Starlette(
            routes=[Route("/metrics", self._metrics), Route("/healthz", self._healthz)]
        )

    async def _metrics(self, request: Request) -> Response:
        sums = [*self._totals.sums(), *self._totals.of_proxies()]
        own = [
            ("tulle_telemetry_proxies", float(self._totals.proxies)),
            ("tulle_telemetry_series_refused_total", float(self._totals.refused)),
        ]
        # The text of many series takes long, and batches keep coming.
        return Response(await asyncio.to_thread(render, sums, own), media_type=TEXT)

    async def _healthz(self, request: Request) -> JSONResponse:
        connected = self._connection is not None and self._connection.connected
        return JSONResponse({"ok": connected}, status_code=200 if connected else 503)


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
