"""The lives of a control actor, one after the other, in one process.

A life ends when NATS was started again, and the next begins at once, from what the store says then.
What ends one unexpectedly is logged, and the next begins after a pause that grows while lives
are short: a mistake of ours costs a moment, and never leaves an actor that is there and does
nothing. Proxies leave their process instead (proxy/actor.py): it has sockets and requests.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Final

from tulle.bus.errors import BusError, ServerChanged, StoreReplaced
from tulle.bus.tasks import end_task

SHORTEST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 15.0
SETTLE_SECONDS: Final = 0.05
"""Before the life after one that nothing was wrong with."""
LONG_LIFE: Final = 60.0
"""After a life of so many seconds the next begins as if it were the second."""

log = logging.getLogger(__name__)


def pause_after(failures: int) -> float:
    """Seconds before the next life, after so many short ones in a row."""
    return float(min(LONGEST_PAUSE, SHORTEST_PAUSE * 2.0 ** min(failures - 1, 10)))


class Lives:
    """Runs `live` for ever, on the running loop; `live` sets `serving` when it serves."""

    def __init__(self, name: str, live: Callable[[], Coroutine[None, None, None]]) -> None:
        self.serving = asyncio.Event()
        self._live = live
        loop = asyncio.get_running_loop()
        self._failed: asyncio.Future[None] = loop.create_future()
        self._task = loop.create_task(self._run(), name=name)

    async def health(self) -> None:
        """Returns once it serves. Raises the mistake that ends the life which was to."""
        failed = self._failed
        serving = asyncio.create_task(self._until_serving())
        try:
            await asyncio.wait([serving, failed], return_when=asyncio.FIRST_COMPLETED)
        finally:
            serving.cancel()
        if failed.done():
            failed.result()

    async def stop(self) -> None:
        """Ends this life, and there is no other.

        A task group that is ending by itself swallows a cancellation, on Python 3.11.
        """
        await end_task(self._task)

    async def _until_serving(self) -> None:
        await self.serving.wait()

    async def _run(self) -> None:
        clock, failures = asyncio.get_running_loop().time, 0
        while True:
            began, ended_well = clock(), False
            try:
                await self._live()
            except* (ServerChanged, StoreReplaced) as errors:
                log.info("a new life: %s", _first(errors))
                ended_well = True
            except* BusError as errors:
                log.warning("starting over: error=%s", _first(errors))
            except* Exception as errors:
                log.exception("starting over after a mistake of ours")
                self._fail(_first(errors))
            finally:
                self.serving.clear()
            if ended_well:
                failures = 0
                await asyncio.sleep(SETTLE_SECONDS)
            else:
                failures = 1 if clock() - began >= LONG_LIFE else failures + 1
                await asyncio.sleep(pause_after(failures))

    def _fail(self, error: BaseException) -> None:
        failed, self._failed = self._failed, asyncio.get_running_loop().create_future()
        failed.set_exception(error)
        failed.exception()  # nobody needs to have waited for it


def _first(error: BaseException) -> BaseException:
    return _first(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error
