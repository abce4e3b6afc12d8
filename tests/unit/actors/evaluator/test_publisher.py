"""World -> bucket config: only what differs is written, and only by who holds the fence."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from tests.support.evaluating import Evaluating
from tests.support.policies_api import GATEWAY, virtual_service
from tulle.actors.evaluator.publisher import Publisher
from tulle.bus import keys
from tulle.bus.memory import MemoryStore

REVIEWS = keys.outbound("reviews.default.svc.cluster.local")
RATINGS = keys.outbound("ratings.default.svc.cluster.local")
ROUTE = virtual_service("reviews", "destination: {host: ratings}")


@asynccontextmanager
async def publishing(store: MemoryStore, name: str = "one") -> AsyncIterator[Publisher]:
    publisher = Publisher(store, name, on_published=lambda: None)
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
    async with publishing(store, "two") as publisher:
        publisher.publish(other.picture.world, 1)
        changed = await soon(publisher.published(1))
        assert isinstance(changed, dict) and set(changed) == {RATINGS, keys.HOSTS}
        assert RATINGS not in publisher.newest
    assert [entry.key for entry in await store.get_all("outbound")] == [REVIEWS]


@pytest.mark.asyncio
async def test_a_deposed_one_writes_nothing_until_it_claims_again() -> None:
    it, store = Evaluating(), MemoryStore()
    it.register("reviews")
    async with publishing(store, "old") as old:
        old.publish(it.picture.world, 1)
        await soon(old.published(1))
        async with publishing(store, "new") as new:
            new.publish(it.picture.world, 1)
            await soon(new.published(1))
            before = await store.get(REVIEWS)
            it.register("ratings")
            old.publish(it.picture.world, 1)
            await asyncio.sleep(0.1)
            assert await store.get(RATINGS) is None and await store.get(REVIEWS) == before


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
