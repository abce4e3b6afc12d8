"""Proxies that run, or whose folders are there, and that nobody wants any more.

They are left when NATS lost what was desired: its store was removed, or is an older copy.
`tulle run` brings its workload back within seconds, so who is still unwanted after
`ORPHANED_SECONDS` is nobody's: gateways of a pool that was made anew, sidecars without an app.
"""

import asyncio
import logging
from pathlib import Path
from typing import Final

from tulle.actors.supervisor.context import Context
from tulle.actors.supervisor.launcher import LaunchFailed

ORPHANED_SECONDS: Final = 20.0
AGAIN_SECONDS: Final = 5.0
DRAIN_SECONDS: Final = 45.0

_LOG = logging.getLogger(__name__)


class Orphans:
    """Ends them, once in a term of leadership. `seconds`: how long they may still be claimed."""

    def __init__(self, context: Context, seconds: float = ORPHANED_SECONDS) -> None:
        self._context = context
        self._seconds = seconds

    async def end(self) -> None:
        """Returns when none is left."""
        await asyncio.sleep(self._seconds)
        while True:
            try:
                running = await self._context.launcher.proxies()
                break
            except LaunchFailed as error:
                _LOG.warning("orphans not looked for, to be tried again: %s", error)
                await asyncio.sleep(AGAIN_SECONDS)
        left = {*running, *await asyncio.to_thread(self._folders)}
        await asyncio.gather(*map(self._end, sorted(left - self._wanted())))

    async def _end(self, proxy: str) -> None:
        launcher = self._context.launcher
        try:
            if await launcher.exists(proxy):
                _LOG.warning("nobody wants it any more, it is drained and ended: proxy=%s", proxy)
                await launcher.drain(proxy, DRAIN_SECONDS)
        except LaunchFailed as error:
            _LOG.warning("%s", error)
        if proxy in self._wanted():
            return  # claimed meanwhile
        try:
            await launcher.kill(proxy)
        except LaunchFailed as error:
            _LOG.warning("not ended: %s", error)
            return
        await self._context.clear_away(proxy)

    def _folders(self) -> list[str]:
        try:
            return [one.name for one in Path(self._context.specs.control.home, "proxies").iterdir()]
        except FileNotFoundError:
            return []

    def _wanted(self) -> set[str]:
        workloads = {one.id for one in self._context.workloads.all()}
        return workloads | {one for pool in self._context.pools.all() for one in pool.members}
