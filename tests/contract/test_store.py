"""What every `Store` promises: one suite, run on memory and on a real nats-server."""

import asyncio
import itertools
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.nats import serve_bus
from tulle.bus.errors import Conflict, Fenced, TooManyChanges
from tulle.bus.memory import MemoryStore
from tulle.bus.store import (
    MAX_BATCH,
    Change,
    Committed,
    Entry,
    Fence,
    Operation,
    Ready,
    Store,
    Watch,
    epoch,
)
from tulle.bus.subjects import Bucket


@pytest_asyncio.fixture(params=["memory", "jetstream"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    if request.param == "memory":
        yield MemoryStore()
    else:
        async with serve_bus() as bus:
            yield await bus.open_store(Bucket.POLICIES)


async def take(changes: Watch, count: int) -> list[Entry | Ready]:
    """The next `count` items of a watch."""
    async with asyncio.timeout(10):
        return [await anext(changes) for _ in range(count)]


def put(key: str, value: bytes = b"x", expected: int | None = None) -> Change:
    return Change(key, value, expected=expected)


def delete(key: str) -> Change:
    return Change(key, operation=Operation.DELETE)


@pytest.mark.asyncio
async def test_a_key_that_was_never_written_is_none(store: Store) -> None:
    assert await store.get("doc.a") is None
    assert await store.get_all() == []


@pytest.mark.asyncio
async def test_a_value_is_read_with_its_revision(store: Store) -> None:
    revision = await store.put_if("doc.a", b"one", 0)
    assert await store.get("doc.a") == Entry("doc.a", b"one", revision)
    later = await store.put_if("doc.a", b"two", revision)
    assert later > revision
    assert await store.get("doc.a") == Entry("doc.a", b"two", later)


@pytest.mark.asyncio
async def test_an_empty_and_a_binary_value_are_values(store: Store) -> None:
    everything = bytes(range(256)) * 1000
    revision = (await store.put_all([put("a", b""), put("b", everything)])).revision
    assert await store.get_all() == [
        Entry("a", b"", revision - 1),
        Entry("b", everything, revision),
    ]


@pytest.mark.asyncio
async def test_put_if_refuses_another_revision(store: Store) -> None:
    revision = await store.put_if("leader", b"one", 0)
    for expected in (0, revision + 1):
        with pytest.raises(Conflict) as refused:
            await store.put_if("leader", b"two", expected)
        assert (refused.value.key, refused.value.expected) == ("leader", expected)
    assert await store.get("leader") == Entry("leader", b"one", revision)


@pytest.mark.asyncio
async def test_a_deleted_key_stays_as_an_entry_and_can_be_made_again(store: Store) -> None:
    first = await store.put_if("doc.a", b"one", 0)
    gone = (await store.put_all([delete("doc.a")])).revision
    assert await store.get("doc.a") == Entry("doc.a", b"", gone, Operation.DELETE)
    assert await store.get_all() == []
    with pytest.raises(Conflict):
        await store.put_if("doc.a", b"two", first)
    assert await store.put_if("doc.a", b"two", 0) == gone + 1
    await store.put_all([delete("doc.a")])
    committed = await store.put_all([put("doc.a", b"three", expected=0), put("doc.b")])
    assert await store.get("doc.a") == Entry("doc.a", b"three", committed.revision - 1)


@pytest.mark.asyncio
async def test_get_all_takes_whole_tokens_and_sorts_by_key(store: Store) -> None:
    for key in ("doc.b", "doc.a.x", "doc", "docs.a", "log.1"):
        await store.put_if(key, key.encode(), 0)
    assert [entry.key for entry in await store.get_all("doc")] == ["doc", "doc.a.x", "doc.b"]
    assert [entry.key for entry in await store.get_all("doc.a")] == ["doc.a.x"]
    assert len(await store.get_all()) == 5


@pytest.mark.asyncio
async def test_get_all_reads_more_than_a_page(store: Store) -> None:
    for start in range(0, 1500, 500):
        await store.put_all(
            [put(f"doc.{n:04}", str(n).encode()) for n in range(start, start + 500)]
        )
    entries = await store.get_all("doc")
    assert [int(entry.value) for entry in entries] == list(range(1500))


@pytest.mark.asyncio
async def test_a_commit_has_consecutive_revisions(store: Store) -> None:
    before = await store.put_if("leader", b"me", 0)
    await store.put_if("doc.gone", b"", 0)
    committed = await store.put_all(
        [put("doc.a"), delete("doc.gone"), put("log.1")], Fence("leader", b"me again", before)
    )
    assert committed == Committed(revision=before + 5, fence_revision=before + 2)
    entries = [await store.get(key) for key in ("leader", "doc.a", "doc.gone", "log.1")]
    assert [entry.revision for entry in entries if entry] == list(range(before + 2, before + 6))


@pytest.mark.asyncio
async def test_a_commit_without_fence_says_so(store: Store) -> None:
    assert await store.put_all([put("doc.a")]) == Committed(revision=1, fence_revision=0)


@pytest.mark.asyncio
async def test_a_deposed_leader_stores_nothing(store: Store) -> None:
    mine = await store.put_if("leader", b"me", 0)
    theirs = await store.put_if("leader", b"they", mine)
    with pytest.raises(Fenced) as refused:
        await store.put_all([put("doc.a"), put("log.1")], Fence("leader", b"me", mine))
    assert (refused.value.key, refused.value.expected) == ("leader", mine)
    assert await store.get_all() == [Entry("leader", b"they", theirs)]


@pytest.mark.asyncio
async def test_one_refused_change_refuses_all(store: Store) -> None:
    mine = await store.put_if("leader", b"me", 0)
    await store.put_if("doc.b", b"theirs", 0)
    with pytest.raises(Conflict) as refused:
        await store.put_all(
            [put("doc.a"), put("doc.b", expected=0), put("log.1")], Fence("leader", b"me", mine)
        )
    assert (refused.value.key, refused.value.expected) == ("doc.b", 0)
    assert await store.get("doc.a") is None
    assert await store.get("leader") == Entry("leader", b"me", mine)


@pytest.mark.asyncio
async def test_of_many_writers_one_wins_each_revision(store: Store) -> None:
    async def add(name: int) -> None:
        while True:
            entry = await store.get("sum")
            number = int(entry.value) if entry else 0
            try:
                await store.put_if(
                    "sum", str(number + name).encode(), entry.revision if entry else 0
                )
                return
            except Conflict:
                continue

    await asyncio.gather(*map(add, range(10)))
    entry = await store.get("sum")
    assert entry is not None
    assert entry.value == b"45"


@pytest.mark.asyncio
async def test_a_commit_takes_a_thousand_messages(store: Store) -> None:
    mine = await store.put_if("leader", b"me", 0)
    fence = Fence("leader", b"me", mine)
    changes = [put(f"doc.{number}") for number in range(MAX_BATCH)]
    with pytest.raises(TooManyChanges) as refused:
        await store.put_all(changes, fence)
    assert (refused.value.count, refused.value.limit) == (MAX_BATCH + 1, MAX_BATCH)
    committed = await store.put_all(changes[1:], fence)
    assert committed == Committed(mine + MAX_BATCH, mine + 1)
    assert len(await store.get_all("doc")) == MAX_BATCH - 1


@pytest.mark.asyncio
async def test_a_commit_is_of_distinct_keys(store: Store) -> None:
    with pytest.raises(ValueError, match="once"):
        await store.put_all([put("a"), put("a")])
    with pytest.raises(ValueError, match="once"):
        await store.put_all([put("a")], Fence("a", b"", 0))
    with pytest.raises(ValueError, match="at least one"):
        await store.put_all([], Fence("a", b"", 0))


@pytest.mark.asyncio
async def test_a_watch_gives_what_is_there_then_what_comes(store: Store) -> None:
    await store.put_all([put("doc.a"), put("log.1"), put("doc.b")])
    await store.put_if("doc.a", b"newer", 1)
    async with store.watch("doc") as changes:
        assert await take(changes, 3) == [
            Entry("doc.b", b"x", 3),
            Entry("doc.a", b"newer", 4),
            Ready(4),
        ]
        await store.put_all([put("log.2"), put("doc.c"), delete("doc.b")])
        assert await take(changes, 2) == [
            Entry("doc.c", b"x", 6),
            Entry("doc.b", b"", 7, Operation.DELETE),
        ]


@pytest.mark.asyncio
async def test_a_watch_of_nothing_is_ready_at_once(store: Store) -> None:
    async with store.watch() as changes:
        assert await take(changes, 1) == [Ready(0)]
        revision = await store.put_if("a", b"1", 0)
        assert await take(changes, 1) == [Entry("a", b"1", revision)]


@pytest.mark.asyncio
async def test_a_slow_reader_gets_the_newest_in_order(store: Store) -> None:
    await store.put_all([put("a"), put("b")])
    async with store.watch() as changes:
        await take(changes, 3)
        for number in range(20):
            await store.put_all([put("a", str(number).encode()), put("b", str(number).encode())])
        last = (await store.put_all([put("end")])).revision
        seen: list[Entry] = []
        while not seen or seen[-1].key != "end":
            (item,) = await take(changes, 1)
            assert isinstance(item, Entry)
            seen.append(item)
    assert all(one.revision < two.revision for one, two in itertools.pairwise(seen))
    assert {entry.key: entry.value for entry in seen} == {"a": b"19", "b": b"19", "end": b"x"}
    assert seen[-1].revision == last


@pytest.mark.asyncio
async def test_watches_are_independent(store: Store) -> None:
    async with store.watch("a") as one, store.watch() as two:
        assert await take(one, 1) == await take(two, 1) == [Ready(0)]
        await store.put_all([put("b"), put("a")])
        assert await take(one, 1) == [Entry("a", b"x", 2)]
        assert await take(two, 2) == [Entry("b", b"x", 1), Entry("a", b"x", 2)]


@pytest.mark.asyncio
async def test_the_epoch_is_made_once(store: Store) -> None:
    made = await asyncio.gather(*(epoch(store, f"proposal{number}") for number in range(5)))
    assert len(set(made)) == 1
    assert await epoch(store, "another") == made[0]


@pytest.mark.asyncio
async def test_each_start_of_the_server_has_an_epoch_of_its_own(store: Store) -> None:
    made = await asyncio.gather(*(epoch(store, f"proposal{n}", "NSERVER1") for n in range(5)))
    assert len(set(made)) == 1
    assert await epoch(store, "another", "NSERVER1") == made[0]
    again = await asyncio.gather(*(epoch(store, f"proposal{n}", "NSERVER2") for n in range(5)))
    assert len({*again, made[0]}) == 2
    assert await epoch(store, "another", "NSERVER2") == again[0]
