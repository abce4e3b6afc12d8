"""Waiting for a condition in tests, instead of sleeping for a time that is hoped to be enough."""

import asyncio
from collections.abc import Callable


async def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    """Returns once `condition()` holds. Raises `TimeoutError` after `seconds`."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - the condition is anybody's, it has no event
            await asyncio.sleep(0.002)
