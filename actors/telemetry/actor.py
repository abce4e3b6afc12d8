"""A telemetry collector as an actor: hears the proxies of its shards, and remembers what they say.

`shares.py` says which shards are here, `totals.py` sums, `scraping.py` answers `/metrics` for all
collectors, at the first of them. A restart needs nobody: it takes its shards with all that proxies
that are gone had counted (their files), and asks the living for everything.
"""

import asyncio
import contextlib
import logging
from pathlib import Path
from typing import Final

from tulle.actors import logs
from tulle.actors.control import ControlSpec
from tulle.actors.lives import Lives
from tulle.actors.serving import connect_for_ever
from tulle.actors.telemetry.scraping import Gathering, serve_for_ever
from tulle.actors.telemetry.shares import FIRST, Shares
from tulle.bus.connection import Connection
from tulle.bus.subjects import Subjects

TICK_SECONDS: Final = 5.0
SAVE_SECONDS: Final = 2.0
SAVE_PAUSE: Final = 20
"""Times as long as saving took, it is not done again: a twentieth of a core at most."""
FOLDER: Final = "telemetry"  # in the mesh's

log = logging.getLogger(__name__)


class CollectorActor:
    """Starts itself on the running loop; a restart needs nobody."""

    def __init__(self, spec: ControlSpec) -> None:
        logs.start(spec.name, spec.log_folder, as_json=spec.json_logs)
        self._spec = spec
        self._subjects = Subjects(spec.mesh)
        self._wanted = asyncio.Event()  # somebody waits for a save
        folder = Path(spec.home) / FOLDER
        self._shares = Shares(spec.member, folder, self._subjects, self._wanted.set)
        self._connection: Connection | None = None
        self._lives = Lives(spec.name, self._live)

    async def health(self) -> None:
        """Returns once it serves. Raises what kept it from that."""
        await self._lives.health()

    async def retire(self) -> None:
        """Ends it for good: its shards are saved and left to the others."""
        if self._connection is not None:
            await self._shares.retire(self._connection)
        await self.stop()

    async def stop(self) -> None:
        """Ends it at once, as death does."""
        await self._lives.stop()
        self._shares.let_go()

    async def _live(self) -> None:
        async with await connect_for_ever(self._spec) as connection:
            self._connection = connection
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._shares.follow(connection))
                tasks.create_task(self._tick())
                tasks.create_task(self._save_for_ever(connection))
                tasks.create_task(self._serve(connection))

    async def _serve(self, connection: Connection) -> None:
        await self._shares.known.wait()
        if self._spec.member == FIRST:
            gathering = Gathering(connection, self._subjects, self._shares.held)
            name, serving = self._spec.name, self._lives.serving
            await serve_for_ever(self._spec.holder, name, gathering, serving)
        await self._shares.complete.wait()
        self._lives.serving.set()

    async def _tick(self) -> None:
        while True:
            for shard in self._shares.held.values():
                shard.totals.on_time(asyncio.get_running_loop().time())
            await asyncio.sleep(TICK_SECONDS)

    async def _save_for_ever(self, connection: Connection) -> None:
        """Remembers what changed: now and then, and at once for those who wait for it."""
        clock, pause = asyncio.get_running_loop().time, SAVE_SECONDS
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._wanted.wait()
            self._wanted.clear()
            began = clock()
            changed = [shard for shard in self._shares.held.values() if shard.changed]
            for shard in changed:
                try:
                    await self._shares.save(connection, shard)
                except OSError as error:
                    log.warning("not saved: shard=%s error=%s", shard.name, error)
            if changed:
                took = clock() - began
                pause = max(SAVE_SECONDS, took * SAVE_PAUSE)
                await asyncio.sleep(took)  # whoever wants it, other work goes on as well
