"""The store on a real nats-server, where it can differ from memory: fences, batches, breaks."""

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest
import pytest_asyncio

from tests.support.nats import A_PROXY, BusUnderTest, frozen, serve_bus
from tulle.bus.errors import Fenced, NobodyListens, NotConnected, StoreRefused, StoreReplaced
from tulle.bus.events import Event, parse_event
from tulle.bus.jetstream import existing_store, open_store
from tulle.bus.permissions import Role
from tulle.bus.store import Change, Committed, Entry, Fence, Operation, Ready, Watch, epoch
from tulle.bus.subjects import Bucket
from tulle.bus.subscription import Message


@pytest_asyncio.fixture
async def bus() -> AsyncIterator[BusUnderTest]:
    async with serve_bus() as bus:
        yield bus


async def take(changes: Watch, count: int) -> list[Entry | Ready]:
    async with asyncio.timeout(15):
        return [await anext(changes) for _ in range(count)]


def put(key: str, value: bytes = b"x") -> Change:
    return Change(key, value)


async def kill(bus: BusUnderTest) -> None:
    """The server is gone, without a word."""
    assert bus.server.pid is not None
    os.kill(bus.server.pid, signal.SIGKILL)
    await bus.server.wait()


# -- commits --------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_leader_that_was_deposed_meanwhile_commits_nothing(bus: BusUnderTest) -> None:
    old, new = [await bus.open_store(Bucket.POLICIES) for _ in range(2)]
    term = await old.put_if("leader", b"old", 0)
    committed = await old.put_all([put("doc.a")], Fence("leader", b"old", term))
    taken_over = await new.put_if("leader", b"new", committed.fence_revision)
    with pytest.raises(Fenced):
        await old.put_all(
            [put(f"doc.{n}") for n in range(50)], Fence("leader", b"old", committed.fence_revision)
        )
    assert [entry.key for entry in await new.get_all()] == ["doc.a", "leader"]
    assert await new.put_all([put("doc.b")], Fence("leader", b"new", taken_over)) == Committed(
        taken_over + 2, taken_over + 1
    )


@pytest.mark.asyncio
async def test_of_two_leaders_in_a_race_one_commits_whole(bus: BusUnderTest) -> None:
    stores = [await bus.open_store(Bucket.POLICIES) for _ in range(2)]
    term = await stores[0].put_if("leader", b"", 0)
    for number in range(20):
        results = await asyncio.gather(
            *(
                store.put_all([put("doc.a", name), put("doc.b", name)], Fence("leader", name, term))
                for store, name in zip(stores, (b"one", b"two"), strict=True)
            ),
            return_exceptions=True,
        )
        (won,) = [result for result in results if isinstance(result, Committed)]
        (lost,) = [result for result in results if isinstance(result, Exception)]
        assert isinstance(lost, Fenced), number
        assert len({entry.value for entry in await stores[0].get_all()}) == 1
        term = won.fence_revision


@pytest.mark.asyncio
async def test_a_batch_without_its_commit_stores_nothing(bus: BusUnderTest) -> None:
    store = await bus.open_store(Bucket.POLICIES)
    dying = await bus.connect(Role.EVALUATOR)
    for number in (1, 2):
        headers = {"Nats-Batch-Id": "half", "Nats-Batch-Sequence": str(number)}
        subject = bus.subjects.value(Bucket.POLICIES, f"doc.{number}")
        await dying.publish(subject, b"x", headers=headers)
    await dying.flush()
    await dying.close()
    await store.put_if("doc.other", b"x", 0)
    assert [entry.key for entry in await store.get_all()] == ["doc.other"]


@pytest.mark.asyncio
async def test_a_commit_without_a_link_says_that_nothing_was_sent(bus: BusUnderTest) -> None:
    connection = await bus.connect(Role.EVALUATOR)
    store = await open_store(connection, bus.subjects, Bucket.POLICIES)
    lost, back = asyncio.Event(), asyncio.Event()
    connection.on_disconnect(lost.set)
    connection.on_reconnect(back.set)
    await bus.server.stop()
    await asyncio.wait_for(lost.wait(), 10)
    with pytest.raises(NotConnected):
        await store.put_all([put("doc.a"), put("doc.b")])
    await bus.server.start()
    await asyncio.wait_for(back.wait(), 10)
    assert await store.get_all() == []


@pytest.mark.asyncio
async def test_what_was_committed_outlives_a_killed_server(bus: BusUnderTest) -> None:
    store = await bus.open_store(Bucket.POLICIES)
    made = await epoch(store, "first")
    committed = await store.put_all([put("doc.a"), put("doc.b")])
    await kill(bus)
    await bus.server.start()
    again = await bus.open_store(Bucket.POLICIES)
    assert await again.get("doc.b") == Entry("doc.b", b"x", committed.revision)
    assert await epoch(again, "second") == made == "first"


# -- buckets --------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_opening_a_bucket_again_changes_nothing(bus: BusUnderTest) -> None:
    for bucket in Bucket:
        store = await bus.open_store(bucket)
        revision = await store.put_if("leader", b"x", 0)
        again = await bus.open_store(bucket)
        assert await again.get("leader") == Entry("leader", b"x", revision)


@pytest.mark.asyncio
async def test_a_bucket_that_is_not_there_says_so(bus: BusUnderTest) -> None:
    store = await bus.existing_store(A_PROXY, Bucket.CONFIG)
    with pytest.raises(NobodyListens):
        await store.get("hosts")
    await bus.open_store(Bucket.CONFIG)
    assert await store.get("hosts") is None


@pytest.mark.asyncio
async def test_what_jetstream_refuses_is_passed_on(bus: BusUnderTest) -> None:
    connection = await bus.connect(Role.EVALUATOR)
    stream = bus.subjects.stream(Bucket.POLICIES)
    foreign = {"name": stream, "subjects": [bus.subjects.value(Bucket.POLICIES, ">")]}
    await connection.request(f"$JS.API.STREAM.CREATE.{stream}", orjson.dumps(foreign))
    with pytest.raises(StoreRefused, match="already in use") as refused:
        await open_store(connection, bus.subjects, Bucket.POLICIES)
    assert refused.value.code == 10058
    store = existing_store(connection, bus.subjects, Bucket.POLICIES)
    with pytest.raises(StoreRefused, match="atomic publish"):
        await store.put_all([put("doc.a"), put("doc.b")])


# -- events ---------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_what_is_stored_is_republished_in_order_with_its_revisions(
    bus: BusUnderTest,
) -> None:
    store = await bus.open_store(Bucket.CONFIG)
    received: asyncio.Queue[Message] = asyncio.Queue()
    operator = await bus.connect(Role.OPERATOR)
    await operator.subscribe(bus.subjects.event_all(Bucket.CONFIG), received.put)
    term = await store.put_if("leader", b"me", 0)
    await store.put_all([put("hosts", b"1"), put("inbound.a")], Fence("leader", b"me", term))
    with pytest.raises(Fenced):
        await store.put_all([put("hosts", b"refused")], Fence("leader", b"me", term))
    await store.put_all([put("hosts", b"2"), Change("inbound.a", operation=Operation.DELETE)])
    events = [
        parse_event(bus.subjects, await asyncio.wait_for(received.get(), 5)) for _ in range(6)
    ]
    config, put_, gone = Bucket.CONFIG, Operation.PUT, Operation.DELETE
    assert events == [
        Event(config, "leader", b"me", 1, 0, put_),
        Event(config, "leader", b"me", 2, 1, put_),
        Event(config, "hosts", b"1", 3, 0, put_),
        Event(config, "inbound.a", b"x", 4, 0, put_),
        Event(config, "hosts", b"2", 5, 3, put_),
        Event(config, "inbound.a", b"", 6, 4, gone),
    ]


@pytest.mark.asyncio
async def test_a_purge_is_republished_as_a_delete(bus: BusUnderTest) -> None:
    """We never purge; any KV client can."""
    store = await bus.open_store(Bucket.REGISTRY)
    received: asyncio.Queue[Message] = asyncio.Queue()
    operator = await bus.connect(Role.OPERATOR)
    await store.put_if("service.default.a", b"x", 0)
    await operator.subscribe(bus.subjects.event_all(Bucket.REGISTRY), received.put)
    supervisor = await bus.connect(Role.SUPERVISOR)
    await supervisor.request(
        bus.subjects.value(Bucket.REGISTRY, "service.default.a"),
        headers={"KV-Operation": "PURGE", "Nats-Rollup": "sub"},
    )
    event = parse_event(bus.subjects, await asyncio.wait_for(received.get(), 5))
    assert event == Event(Bucket.REGISTRY, "service.default.a", b"", 2, 1, Operation.DELETE)
    entry = await store.get("service.default.a")
    assert entry == Entry("service.default.a", b"", 2, Operation.DELETE)


@pytest.mark.asyncio
async def test_the_desired_state_is_not_republished(bus: BusUnderTest) -> None:
    store = await bus.open_store(Bucket.DESIRED)
    received: asyncio.Queue[Message] = asyncio.Queue()
    await bus.open_store(Bucket.CONFIG)
    operator = await bus.connect(Role.OPERATOR)
    for bucket in (Bucket.POLICIES, Bucket.CONFIG, Bucket.REGISTRY):
        await operator.subscribe(bus.subjects.event_all(bucket), received.put)
    await store.put_if("pool.ingress", b"x", 0)
    await (await bus.open_store(Bucket.CONFIG)).put_if("hosts", b"x", 0)
    assert (await asyncio.wait_for(received.get(), 5)).subject == bus.subjects.event_config("hosts")


# -- watches --------------------------------------------------------------------------------


@pytest.mark.asyncio
@pytest.mark.parametrize("ending", ["stopped", "killed"])
async def test_a_watch_goes_on_after_a_restart(bus: BusUnderTest, ending: str) -> None:
    store = await bus.open_store(Bucket.POLICIES)
    await store.put_all([put("doc.a"), put("doc.b"), put("doc.c")])
    async with store.watch("doc") as changes:
        await take(changes, 4)
        await (bus.server.stop() if ending == "stopped" else kill(bus))
        await bus.server.start()
        # Before the watch is back, by another connection.
        other = await bus.open_store(Bucket.POLICIES)
        await other.put_all([put("doc.b", b"new"), Change("doc.c", operation=Operation.DELETE)])
        assert await take(changes, 2) == [
            Entry("doc.b", b"new", 4),
            Entry("doc.c", b"", 5, Operation.DELETE),
        ]
        await other.put_if("doc.d", b"x", 0)
        assert await take(changes, 1) == [Entry("doc.d", b"x", 6)]


@pytest.mark.asyncio
async def test_a_watch_that_begins_without_a_link_waits(bus: BusUnderTest) -> None:
    store = await bus.open_store(Bucket.POLICIES)
    await store.put_if("doc.a", b"x", 0)
    await bus.server.stop()
    async with store.watch() as changes:
        first = asyncio.create_task(take(changes, 2))
        await bus.server.start()
        assert await first == [Entry("doc.a", b"x", 1), Ready(1)]


@pytest.mark.asyncio
async def test_a_watch_waits_for_its_bucket(bus: BusUnderTest) -> None:
    store = await bus.existing_store(Role.EVALUATOR, Bucket.REGISTRY)
    async with store.watch() as changes:
        first = asyncio.create_task(take(changes, 2))
        registry = await bus.open_store(Bucket.REGISTRY)
        await registry.put_if("service.default.a", b"x", 0)
        items = await first
    assert {type(item) for item in items} == {Entry, Ready}


@pytest.mark.asyncio
async def test_a_watch_of_a_bucket_made_anew_says_so(bus: BusUnderTest) -> None:
    store = await bus.open_store(Bucket.POLICIES)
    made = await epoch(store, "first")
    async with store.watch() as changes:
        await take(changes, 2)
        await bus.server.stop()
        shutil.rmtree(Path(bus.server.log).parent / "store")
        await bus.server.start()
        again = await bus.open_store(Bucket.POLICIES)
        with pytest.raises(StoreReplaced, match="made anew"):
            await take(changes, 1)
    assert await epoch(again, "second") != made


@pytest.mark.asyncio
async def test_a_large_bucket_is_watched_through_flow_control(bus: BusUnderTest) -> None:
    store = await bus.open_store(Bucket.POLICIES)
    for start in range(0, 2000, 500):
        await store.put_all([put(f"doc.{n:04}", bytes(10_000)) for n in range(start, start + 500)])
    async with store.watch("doc") as changes:
        items = await take(changes, 2001)
    assert [item.key for item in items[:-1] if isinstance(item, Entry)] == [
        f"doc.{n:04}" for n in range(2000)
    ]
    assert items[-1] == Ready(2000)


@pytest.mark.asyncio
async def test_a_watch_goes_on_after_a_server_that_hung(bus: BusUnderTest) -> None:
    connection = await bus.connect(Role.EVALUATOR)
    store = await open_store(connection, bus.subjects, Bucket.POLICIES)
    lost = asyncio.Event()
    connection.on_disconnect(lost.set)
    async with store.watch() as changes:
        await take(changes, 1)
        with frozen(bus.server):
            await asyncio.wait_for(lost.wait(), 15)
        other = await bus.open_store(Bucket.POLICIES)
        await other.put_if("doc.a", b"x", 0)
        assert await take(changes, 1) == [Entry("doc.a", b"x", 1)]
