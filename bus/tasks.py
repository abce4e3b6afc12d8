"""Ending a task for sure."""

import asyncio
from typing import Final

AGAIN_SECONDS: Final = 1.0


async def end_task(task: asyncio.Task[None]) -> None:
    """Cancels `task` and returns when it has ended; what it raised is dropped.

    More than once if need be: before Python 3.12 `asyncio.wait_for`, which nats-py and handlers
    use, swallows a cancellation that comes together with a result. From within the task itself it
    only asks.
    """
    task.cancel()
    if task is asyncio.current_task():
        return
    while not task.done():
        await asyncio.wait([task], timeout=AGAIN_SECONDS)
        task.cancel()
    if not task.cancelled():
        task.exception()
