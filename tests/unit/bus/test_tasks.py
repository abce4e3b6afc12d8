"""A task ends, even one that swallows its first cancellation."""

import asyncio

import pytest

from tulle.bus import tasks
from tulle.bus.tasks import end_task


@pytest.mark.asyncio
async def test_a_task_that_swallows_a_cancellation_ends_at_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tasks, "AGAIN_SECONDS", 0.01)
    swallowed = 0

    async def stubborn() -> None:
        nonlocal swallowed
        while swallowed < 2:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                swallowed += 1
        await asyncio.sleep(60)

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    await end_task(task)
    assert task.cancelled()
    assert swallowed == 2


@pytest.mark.asyncio
async def test_what_it_raised_is_dropped() -> None:
    async def fail() -> None:
        raise ValueError("no good")

    task = asyncio.create_task(fail())
    await asyncio.sleep(0)
    await end_task(task)
    assert task.done()
