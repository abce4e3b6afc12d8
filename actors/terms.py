"""Terms of leadership: work that is done while a replica leads, and ended when it is deposed.

The counterpart is `leadership.Leader`, whose changes it is told of.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine

log = logging.getLogger(__name__)


class Terms:
    """`on_change` is for the `Leader`. `name`: the replica's."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._elected = asyncio.Event()
        self._deposed = asyncio.Event()

    def on_change(self, leading: bool) -> None:
        """It leads from now on, or no longer."""
        log.info("leading=%s name=%s", leading, self._name)
        if leading:
            self._deposed.clear()
            self._elected.set()
        else:
            self._elected.clear()
            self._deposed.set()

    async def run(self, work: Callable[[], Coroutine[None, None, None]]) -> None:
        """Does `work` in each term, never two at once. Raises what ends one from within."""
        while True:
            await self._elected.wait()
            term = asyncio.create_task(work())
            deposed = asyncio.create_task(self._deposed.wait())
            try:
                await asyncio.wait([term, deposed], return_when=asyncio.FIRST_COMPLETED)
            finally:
                term.cancel()
                deposed.cancel()
                await asyncio.wait([term, deposed])
            if not term.cancelled():
                term.result()
