"""A ledger over a store: each change decided on the record it replaces, whatever gets lost."""

import asyncio
from collections.abc import Sequence

import pytest

from tests.support.workloads import record
from tulle.actors.supervisor.ledger import Ledger
from tulle.actors.supervisor.records import turning
from tulle.bus.codec import decode, encode
from tulle.bus.errors import NoAnswer
from tulle.bus.memory import MemoryStore
from tulle.bus.messages import ServiceRecord
from tulle.bus.store import Change, Committed, Fence

KEY = "service.default.reviews"


class Deaf(MemoryStore):
    """Stores all and, while `deaf`, never answers a commit."""

    deaf = False

    async def put_all(self, changes: Sequence[Change], fence: Fence | None = None) -> Committed:
        committed = await super().put_all(changes, fence)
        if self.deaf:
            raise NoAnswer("$KV", 5.0)
        return committed


async def ledger_of(
    store: MemoryStore, told: list[tuple[str, int]] | None = None
) -> Ledger[ServiceRecord]:
    changes = told if told is not None else []
    ledger = Ledger(
        store,
        ServiceRecord,
        "service",
        store.put_all,
        lambda key, revision: changes.append((key, revision)),
    )
    await ledger.load()
    return ledger


async def stored(store: MemoryStore) -> ServiceRecord | None:
    entry = await store.get(KEY)
    return decode(ServiceRecord, entry.value) if entry is not None and entry.value else None


@pytest.mark.asyncio
async def test_a_change_is_stored_and_told() -> None:
    store, told = MemoryStore(), list[tuple[str, int]]()
    ledger = await ledger_of(store, told)
    written, revision = await ledger.change(KEY, lambda _: record(a="starting"))
    assert written == ledger.get(KEY) == await stored(store) == record(a="starting")
    assert told == [(KEY, revision)]


@pytest.mark.asyncio
async def test_what_is_there_is_loaded() -> None:
    store = MemoryStore()
    await store.put_if(KEY, encode(record(a="ready")), 0)
    ledger = await ledger_of(store)
    assert ledger.all() == [record(a="ready")]
    await ledger.change(KEY, turning("a", "draining"))
    assert await stored(store) == record(a="draining")


@pytest.mark.asyncio
async def test_no_change_writes_nothing() -> None:
    store, told = MemoryStore(), list[tuple[str, int]]()
    ledger = await ledger_of(store, told)
    _, first = await ledger.change(KEY, lambda _: record(a="ready"))
    _, second = await ledger.change(KEY, turning("a", "ready"))
    assert first == second and len(told) == 1


@pytest.mark.asyncio
async def test_a_record_can_go_and_come_back() -> None:
    store = MemoryStore()
    ledger = await ledger_of(store)
    await ledger.change(KEY, lambda _: record())
    assert (await ledger.change(KEY, lambda _: None))[0] is None
    assert ledger.get(KEY) is None and await stored(store) is None
    await ledger.change(KEY, lambda _: record(a="starting"))
    assert await stored(store) == record(a="starting")


@pytest.mark.asyncio
async def test_after_a_lost_answer_the_next_change_decides_on_what_is_stored() -> None:
    store, told = Deaf(), list[tuple[str, int]]()
    ledger = await ledger_of(store, told)
    await ledger.change(KEY, lambda _: record(a="starting", b="ready"))
    store.deaf = True
    with pytest.raises(NoAnswer):
        await ledger.change(KEY, turning("a", "ready"))
    store.deaf = False
    await ledger.change(KEY, turning("b", "draining"))
    assert await stored(store) == record(a="ready", b="draining")
    assert [revision for _, revision in told] == [1, 2, 3]


@pytest.mark.asyncio
async def test_changes_at_once_lose_nothing() -> None:
    store = MemoryStore()
    ledger = await ledger_of(store)
    await ledger.change(KEY, lambda _: record(a="starting", b="starting"))
    await asyncio.gather(*(ledger.change(KEY, turning(one, "ready")) for one in ("a", "b")))
    assert await stored(store) == record(a="ready", b="ready")
