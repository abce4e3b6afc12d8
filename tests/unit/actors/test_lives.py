"""A life that ends unexpectedly is followed by another, and somebody hears why."""

import asyncio

import pytest

from tests.support.awaiting import until
from tulle.actors import lives
from tulle.actors.lives import LONGEST_PAUSE, Lives, pause_after
from tulle.bus.errors import NotConnected, ServerChanged, StoreReplaced


class Actor:
    """Its lives end as told, the one after the last goes on."""

    def __init__(self, *ends: Exception) -> None:
        self.ends = list(ends)
        self.lived = 0
        self.lives = Lives("tulle-actor-1", self.live)

    async def live(self) -> None:
        self.lived += 1
        if self.ends:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self.end(self.ends.pop(0)))
        self.lives.serving.set()
        await asyncio.Event().wait()

    async def end(self, error: Exception) -> None:
        raise error


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lives, "SHORTEST_PAUSE", 0.001)


@pytest.mark.asyncio
async def test_a_mistake_is_logged_and_the_next_life_begins(
    caplog: pytest.LogCaptureFixture,
) -> None:
    actor = Actor(KeyError("bug"))
    with pytest.raises(KeyError):
        await actor.lives.health()
    await actor.lives.health()
    assert actor.lived == 2
    assert [one.exc_info is not None for one in caplog.records] == [True]
    await actor.lives.stop()


@pytest.mark.asyncio
async def test_what_the_bus_does_is_no_mistake(caplog: pytest.LogCaptureFixture) -> None:
    actor = Actor(NotConnected("a message"), NotConnected("a message"))
    await actor.lives.health()
    assert actor.lived == 3
    assert not any(one.exc_info for one in caplog.records)
    await actor.lives.stop()


@pytest.mark.asyncio
async def test_who_is_stopped_does_not_live_again() -> None:
    actor = Actor()
    await until(lambda: actor.lived == 1)
    await actor.lives.stop()
    assert actor.lived == 1 and not actor.lives.serving.is_set()


def test_pauses_grow_up_to_a_bound() -> None:
    pauses = [pause_after(failures) for failures in range(1, 100)]
    assert pauses == sorted(pauses) and pauses[0] < pauses[1] <= LONGEST_PAUSE


@pytest.mark.asyncio
async def test_a_life_on_another_store_begins_at_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lives, "SHORTEST_PAUSE", 60.0)
    actor = Actor(*(ServerChanged("N1"), StoreReplaced("policies")) * 3)
    async with asyncio.timeout(5):
        await actor.lives.health()
    assert actor.lived == 7
    assert [one for one in caplog.records if one.levelname != "INFO"] == []
    await actor.lives.stop()


@pytest.mark.asyncio
async def test_who_is_stopped_while_a_life_ends_by_itself_does_not_live_again() -> None:
    """The group of a life that has just met another start of NATS swallows the cancellation."""
    began = 0
    ending = asyncio.Event()

    async def another_start() -> None:
        ending.set()
        raise ServerChanged("one")

    async def slow_to_end() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.1)

    async def live() -> None:
        nonlocal began
        began += 1
        if began > 1:
            await asyncio.Event().wait()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(slow_to_end())
            await asyncio.sleep(0)
            tasks.create_task(another_start())

    lives = Lives("test", live)
    await ending.wait()
    await asyncio.sleep(0.01)
    async with asyncio.timeout(5):
        await lives.stop()
    assert began <= 2
