"""Leadership: the machine's decisions as a script of events, then two replicas on one store."""

import asyncio
from collections.abc import Sequence
from typing import TypeVar

import pytest

from tests.support.awaiting import until
from tulle.actors import leadership
from tulle.actors.leadership import (
    NOBODY,
    Deposed,
    Elected,
    Leader,
    LeadershipMachine,
    Put,
    Read,
    Refused,
    Release,
    Resigned,
    Seen,
    Stored,
    Ticked,
    Timing,
    Unanswered,
)
from tulle.bus.errors import Fenced, NoAnswer
from tulle.bus.memory import MemoryStore
from tulle.bus.store import Change, Committed, Entry, Fence

TIMING = Timing(patience=2.5, refresh=1.0, poll=0.5)


def follower(name: str = "a") -> LeadershipMachine:
    return LeadershipMachine(name, TIMING)


def leader(now: float = 0.0, revision: int = 7) -> LeadershipMachine:
    machine = follower()
    machine.handle(Stored(revision), now)
    return machine


def test_a_free_key_is_taken_at_once() -> None:
    machine = follower()
    assert machine.handle(Ticked(), 0.0) == [Read()]
    assert machine.handle(Seen(0), 0.0) == [Put(0)]
    assert machine.handle(Stored(1), 0.0) == [Elected()]
    assert machine.leads(0.0)


def test_a_refreshed_key_is_left_alone_for_ever() -> None:
    machine = follower()
    for second in range(20):
        assert machine.handle(Seen(second + 1, "b"), float(second)) == []


def test_a_key_is_taken_over_after_patience_without_refresh() -> None:
    machine = follower()
    assert machine.handle(Seen(5, "b"), 10.0) == []
    assert machine.handle(Seen(5, "b"), 12.4) == []
    assert machine.handle(Seen(5, "b"), 12.5) == [Put(5)]


def test_a_refresh_restarts_the_observers_patience() -> None:
    machine = follower()
    machine.handle(Seen(5, "b"), 10.0)
    machine.handle(Seen(6, "b"), 12.0)
    assert machine.handle(Seen(6, "b"), 14.4) == []


def test_a_lost_race_for_the_key_starts_patience_anew() -> None:
    machine = follower()
    machine.handle(Seen(5, "b"), 0.0)
    machine.handle(Seen(5, "b"), 2.5)
    assert machine.handle(Refused(), 2.5) == []
    assert machine.handle(Seen(6, "c"), 3.0) == []


def test_who_resigns_releases_the_key_and_leads_no_more() -> None:
    machine = leader(revision=7)
    assert machine.handle(Resigned(), 0.5) == [Deposed(), Release(7)]
    assert not machine.leads(0.5)


def test_a_follower_or_one_who_is_not_sure_has_nothing_to_release() -> None:
    assert follower().handle(Resigned(), 0.0) == []
    machine = leader()
    machine.handle(Unanswered(), 0.1)
    assert machine.handle(Resigned(), 0.2) == [Deposed()]


def test_a_released_key_is_taken_at_once() -> None:
    assert follower("a").handle(Seen(8, NOBODY), 0.0) == [Put(8)]


def test_the_successor_of_a_dead_replica_does_not_wait() -> None:
    assert follower("a").handle(Seen(5, "a"), 0.0) == [Put(5)]


def test_a_leader_refreshes_at_its_newest_revision() -> None:
    machine = leader(now=0.0, revision=7)
    assert machine.pause == TIMING.refresh
    machine.handle(Stored(9), 0.5)  # a commit
    assert machine.handle(Ticked(), 1.0) == [Put(9)]


def test_a_refused_refresh_ends_leadership() -> None:
    machine = leader()
    assert machine.handle(Refused(), 1.0) == [Deposed()]
    assert not machine.leads(1.0)


def test_an_unanswered_put_is_read_back_before_the_next() -> None:
    machine = leader(revision=7)
    machine.handle(Unanswered(), 1.0)
    assert machine.handle(Ticked(), 1.5) == [Read()]
    assert machine.handle(Seen(8, "a"), 1.5) == []
    assert machine.handle(Ticked(), 2.0) == [Put(8)]


def test_a_leader_that_reads_another_name_is_deposed() -> None:
    machine = leader()
    machine.handle(Unanswered(), 1.0)
    assert machine.handle(Seen(8, "b"), 1.5) == [Deposed("b")]


def test_a_leader_that_cannot_refresh_stops_by_its_own_clock() -> None:
    machine = leader(now=0.0)
    assert machine.leads(2.4)
    assert not machine.leads(2.5)
    assert machine.handle(Ticked(), 2.5) == [Deposed(), Read()]


def test_it_leads_again_when_nobody_took_over_meanwhile() -> None:
    machine = leader(now=0.0, revision=7)
    machine.handle(Ticked(), 60.0)
    assert machine.handle(Seen(7, "a"), 60.0) == [Put(7)]
    assert machine.handle(Stored(8), 60.0) == [Elected()]


FAST = Timing(patience=0.05, refresh=0.02, poll=0.01)


T = TypeVar("T")


class Unreachable(MemoryStore):
    """A store that does not answer while `cut`; what was put is stored all the same."""

    cut = False
    refreshes = 0

    async def put_if(self, key: str, value: bytes, revision: int) -> int:
        self.refreshes += 1
        stored = await super().put_if(key, value, revision)
        return self._answered(stored)

    async def get(self, key: str) -> Entry | None:
        return self._answered(await super().get(key))

    async def put_all(self, changes: Sequence[Change], fence: Fence | None = None) -> Committed:
        committed = await super().put_all(changes, fence)
        return self._answered(committed)

    def _answered(self, answer: T) -> T:
        if self.cut:
            raise NoAnswer("$KV", 1.0)
        return answer


@pytest.mark.asyncio
async def test_of_two_replicas_one_leads_and_the_other_takes_over() -> None:
    store = MemoryStore()
    a, b = Leader(store, "a", timing=FAST), Leader(store, "b", timing=FAST)
    async with asyncio.TaskGroup() as tasks:
        first = tasks.create_task(a.run())
        await until(lambda: a.leading)
        second = tasks.create_task(b.run())
        await asyncio.sleep(3 * FAST.patience)
        assert a.leading and not b.leading
        first.cancel()
        await until(lambda: b.leading)
        with pytest.raises(Fenced):
            await a.commit([Change("k", b"stale")])
        assert await store.get("k") is None
        second.cancel()


@pytest.mark.asyncio
async def test_after_a_resignation_nobody_is_patient() -> None:
    store = MemoryStore()
    patient = Timing(patience=60, refresh=0.02, poll=0.01)
    a, b = Leader(store, "a", timing=patient), Leader(store, "b", timing=patient)
    async with asyncio.TaskGroup() as tasks:
        first = tasks.create_task(a.run())
        await until(lambda: a.leading)
        second = tasks.create_task(b.run())
        await a.resign()
        with pytest.raises(Fenced):
            await a.commit([Change("k", b"stale")])
        await until(lambda: b.leading)
        await until(first.done)
        second.cancel()


@pytest.mark.asyncio
async def test_commits_move_the_fence_and_leadership_stays() -> None:
    store, seen = MemoryStore(), list[bool]()
    leader = Leader(store, "a", timing=FAST, on_change=seen.append)
    task = asyncio.create_task(leader.run())
    await until(lambda: leader.leading)
    for number in range(50):
        await leader.commit([Change("k", str(number).encode())])
        await asyncio.sleep(0.002)
    task.cancel()
    assert seen == [True]


@pytest.mark.asyncio
async def test_an_unanswered_commit_is_read_back() -> None:
    store = Unreachable()
    leader = Leader(store, "a", timing=Timing(patience=5, refresh=0.02, poll=0.01))
    task = asyncio.create_task(leader.run())
    await until(lambda: leader.leading)
    store.cut, store.refreshes = True, 0
    with pytest.raises(NoAnswer):
        await leader.commit([Change("k", b"1")])
    store.cut = False
    await until(lambda: store.refreshes > 0)
    await leader.commit([Change("k", b"2")])
    task.cancel()


@pytest.mark.asyncio
async def test_a_follower_commits_nothing() -> None:
    store = MemoryStore()
    with pytest.raises(Fenced):
        await Leader(store, "a").commit([Change("k", b"1")])
    assert await store.get("k") is None


@pytest.mark.asyncio
async def test_a_store_that_does_not_answer_counts_as_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leadership, "AWAY_AFTER", 0.1)
    store = Unreachable()
    leader = Leader(store, "a", timing=Timing(patience=5, refresh=0.01, poll=0.01))
    task = asyncio.create_task(leader.run())
    await until(lambda: leader.leading)
    await asyncio.sleep(0.2)
    assert leader.reaches_store
    store.cut = True
    await until(lambda: not leader.reaches_store)
    assert leader.leading, "it is not deposed for that"
    store.cut = False
    await until(lambda: leader.reaches_store)
    task.cancel()


def test_a_death_is_noticed_in_time_for_an_answer_within_three_seconds() -> None:
    """The last refresh may be seen `poll` late, and so may be that there is no other."""
    default = Timing()
    assert default.patience + 2 * default.poll <= 3.0
    assert default.refresh < default.patience / 2
