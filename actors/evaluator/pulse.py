"""Waiting for "something changed" without missing it, by any number of tasks."""

import asyncio
from collections.abc import Callable
from contextlib import suppress


class Pulse:
    """`beat()` wakes all who wait at that moment."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def beat(self) -> None:
        """Something changed."""
        self._event.set()
        self._event = asyncio.Event()

    async def wait(self, seconds: float) -> None:
        """Returns at the next beat, or after `seconds`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):  # wait_for can swallow a cancellation on 3.11
                await self._event.wait()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Returns once `condition()` holds; looked at after each beat. Bound it from outside."""
        while not condition():
            await self._event.wait()
