"""What the supervisor's parts share while it leads: ledgers, launcher, who waits for what."""

import asyncio
import logging
import random
import shutil
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

from tulle.actors import logs
from tulle.actors.proxy.spec import ProxySpec, access_log_name, actor_name
from tulle.actors.supervisor.launcher import Launcher, LaunchFailed
from tulle.actors.supervisor.ledger import Ledger
from tulle.actors.supervisor.proxies import Proxies
from tulle.actors.supervisor.records import LETTERS, SUFFIX_LENGTH
from tulle.actors.supervisor.specs import ProxySpecs
from tulle.actors.supervisor.users import Users
from tulle.bus.messages import DesiredWorkload, PoolRecord, ServiceRecord

KEPT_LOGS: Final = 100
"""Logs of proxies that are gone."""

ResultT = TypeVar("ResultT")

_LOG = logging.getLogger(__name__)


class Reports:
    """The newest reports of proxies, and waiting until they say something."""

    def __init__(self) -> None:
        self.proxies = Proxies()
        self._changed = asyncio.Event()

    def notify(self) -> None:
        """The reports changed: all who wait look again."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Whether `condition()` held within `seconds`."""
        try:
            async with asyncio.timeout(seconds):
                while not condition():
                    await self._changed.wait()
        except TimeoutError:
            return False
        return True


class Background:
    """Tasks that end with the term of leadership; what they raise is logged."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[object]] = set()

    def run(self, work: Coroutine[None, None, ResultT]) -> asyncio.Task[ResultT]:
        """Begins `work`."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    async def stop(self) -> None:
        """Ends all of it."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _done(self, task: asyncio.Task[ResultT]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _LOG.error("background work failed", exc_info=error)


def random_suffix() -> str:
    """Five random letters, which tell instances of one service apart."""
    return "".join(random.choices(LETTERS, k=SUFFIX_LENGTH))


@dataclass(frozen=True, slots=True)
class Context:
    """One term of leadership."""

    services: Ledger[ServiceRecord]
    workloads: Ledger[DesiredWorkload]
    pools: Ledger[PoolRecord]
    launcher: Launcher
    specs: ProxySpecs
    users: Users
    reports: Reports = field(default_factory=Reports)
    background: Background = field(default_factory=Background)
    suffix: Callable[[], str] = random_suffix
    clock: Callable[[], float] = time.monotonic
    unix_time: Callable[[], float] = time.time

    async def launch(self, spec: ProxySpec) -> None:
        """Starts a proxy with a NATS user of its own. Raises `LaunchFailed`."""
        try:
            await asyncio.to_thread(self.users.write, spec)
        except OSError as error:
            raise LaunchFailed(spec.id, f"its NATS user can't be written: {error}") from error
        await self.launcher.start(spec)

    async def clear_away(self, proxy: str) -> None:
        """A proxy that has ended for good: its reports and its folder, keys included, go.

        Its log stays for who asks why it ended, until those of `KEPT_LOGS` others are newer.
        """
        self.reports.proxies.forget(proxy)
        control = self.specs.control
        await asyncio.to_thread(shutil.rmtree, control.proxy_folder(proxy), ignore_errors=True)
        if control.log_folder:
            living = {one.id for one in self.workloads.all()}
            living |= {one for pool in self.pools.all() for one in pool.members}
            folder = Path(control.log_folder)
            for name in (actor_name, access_log_name):
                kept = {name(one) for one in living}
                await asyncio.to_thread(logs.remove_old, folder, name(""), kept, KEPT_LOGS)
