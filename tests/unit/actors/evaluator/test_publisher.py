"""World -> bucket config: only what differs is written, and only by who holds the fence."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from tests.support.awaiting import until
from tests.support.evaluating import Evaluating
from tests.support.policies_api import GATEWAY, virtual_service
from tulle.actors.evaluator import publisher as publishing_module
from tulle.actors.evaluator.publisher import Publisher
from tulle.bus import keys
from tulle.bus.memory import MemoryStore

REVIEWS = keys.outbound("reviews.default.svc.cluster.local")
RATINGS = keys.outbound("ratings.default.svc.cluster.local")
ROUTE = virtual_service("reviews", "destination: {host: ratings}")


@asynccontextmanager
async def publishing(
    store: MemoryStore, name: str = "one", leading: Callable[[], bool] = lambda: True
) -> AsyncIterator[Publisher]:
    publisher = Publisher(store, name, on_published=lambda: None, leading=leading)
    task = asyncio.create_task(publisher.run())
    yield publisher
    task.cancel()
    await asyncio.wait([task])


async def soon(what: Awaitable[object]) -> object:
    return await asyncio.wait_for(what, 5)


def publish(publisher: Publisher, it: Evaluating) -> Callable[[], Awaitable[object]]:
    publisher.publish(it.picture.world, it.picture.revision)
    return lambda: soon(publisher.published(it.picture.revision))


@pytest.mark.asyncio
async def test_only_changed_keys_are_written() -> None:
    it, store = Evaluating(), MemoryStore()
    it.register("reviews", "ratings")
    await it.apply(GATEWAY, "1")
    async with publishing(store) as publisher:
        first = await publish(publisher, it)()
        assert isinstance(first, dict) and {REVIEWS, RATINGS, keys.HOSTS} < set(first)
        await it.apply(ROUTE, "2")
        second = await publish(publisher, it)()
        assert isinstance(second, dict) and set(second) == {REVIEWS}
        entry = await store.get(REVIEWS)
        assert entry is not None and entry.revision == second[REVIEWS]
        assert publisher.revision == it.picture.revision
        assert set(publisher.recent.newest(0)) >= {REVIEWS}


@pytest.mark.asyncio
async def test_the_index_is_written_after_what_it_names() -> None:
    it, store = Evaluating(), MemoryStore()
    it.register("reviews")
    async with publishing(store) as publisher:
        publisher.publish(it.picture.world, 1)
        changed = await soon(publisher.published(1))
    assert isinstance(changed, dict) and max(changed, key=changed.__getitem__) == keys.HOSTS


@pytest.mark.asyncio
async def test_a_successor_writes_only_what_differs_and_removes_what_is_gone() -> None:
    it, store = Evaluating(), MemoryStore()
    it.register("reviews", "ratings")
    async with publishing(store) as publisher:
        publisher.publish(it.picture.world, 1)
        await soon(publisher.published(1))
    other = Evaluating()
    other.register("reviews")
    before = {entry.key: entry for entry in await store.get_all()}
    async with publishing(store, "two") as publisher:
        publisher.publish(other.picture.world, 1)
        await soon(publisher.published(1))
        assert RATINGS not in publisher.newest
    after = {entry.key: entry for entry in await store.get_all()}
    assert {key for key in before if after.get(key) != before[key]} == {
        RATINGS,
        keys.HOSTS,
        keys.LEADER,
    }


@pytest.mark.asyncio
async def test_a_deposed_one_claims_nothing_once_its_successor_is_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(publishing_module, "RETRY_SECONDS", 0.001)
    it, store, asked = Evaluating(), MemoryStore(), 0
    leads = True

    def leading() -> bool:
        nonlocal asked
        asked += not leads
        return leads

    it.register("reviews")
    async with publishing(store, "old", leading) as old:
        old.publish(it.picture.world, 1)
        await soon(old.published(1))
        leads = False
        async with publishing(store, "new") as new:
            new.publish(it.picture.world, 1)
            await soon(new.published(1))
            before = await store.get_all()
            it.register("ratings")
            old.publish(it.picture.world, 1)
            await until(lambda: asked >= 3)
            assert await store.get_all() == before


@pytest.mark.asyncio
async def test_one_that_was_refused_but_leads_claims_again() -> None:
    it, store = Evaluating(), MemoryStore()
    it.register("reviews")
    async with publishing(store) as publisher:
        publisher.publish(it.picture.world, 1)
        await soon(publisher.published(1))
        leader = await store.get(keys.LEADER)
        assert leader is not None
        await store.put_if(keys.LEADER, b"somebody", leader.revision)
        it.register("ratings")
        publisher.publish(it.picture.world, 2)
        await soon(publisher.published(2))
    assert await store.get(RATINGS) is not None


@pytest.mark.asyncio
async def test_a_successor_waits_for_all_who_hold_what_its_predecessor_published() -> None:
    it, store = Evaluating(), MemoryStore()
    it.register("reviews")
    await it.apply(ROUTE)
    async with publishing(store, "old") as old:
        await publish(old, it)()
    async with publishing(store, "new") as new:
        again = await publish(new, it)()
        entry = await store.get(REVIEWS)
        assert isinstance(again, dict) and entry is not None and again[REVIEWS] == entry.revision


@pytest.mark.asyncio
async def test_who_asks_late_still_learns_which_keys_to_wait_for() -> None:
    it, store = Evaluating(), MemoryStore()
    it.register("reviews")
    async with publishing(store) as publisher:
        publisher.publish(it.picture.world, 5)
        await soon(publisher.published(5))
        publisher.publish(it.picture.world, 6)
        await soon(publisher.published(6))
        assert REVIEWS in (await publisher.published(5))
        assert await publisher.published(6) == {}
