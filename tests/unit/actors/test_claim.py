"""A leader's claim of a further bucket: whoever was deposed writes nothing there."""

from collections.abc import Sequence

import pytest

from tulle.actors.claim import Claim
from tulle.bus import keys
from tulle.bus.errors import Fenced, NoAnswer
from tulle.bus.memory import MemoryStore
from tulle.bus.store import Change, Committed, Fence


async def value(store: MemoryStore, key: str) -> bytes | None:
    entry = await store.get(key)
    return entry.value if entry else None


@pytest.mark.asyncio
async def test_commits_follow_one_another() -> None:
    store = MemoryStore()
    claim = Claim(store, "a", lambda: True)
    await claim.take()
    assert claim.held
    for number in range(3):
        await claim.commit([Change("k", str(number).encode())])
    assert await value(store, "k") == b"2"
    assert await value(store, keys.LEADER) == b"a"


@pytest.mark.asyncio
async def test_a_deposed_one_is_refused_from_its_successors_claim_on() -> None:
    store, leads = MemoryStore(), {"a": True}
    old, new = Claim(store, "a", lambda: leads["a"]), Claim(store, "b", lambda: True)
    await old.take()
    await new.take()
    with pytest.raises(Fenced):  # it was frozen, and still believes that it leads
        await old.commit([Change("k", b"stale")])
    leads["a"] = False
    with pytest.raises(Fenced):
        await old.commit([Change("k", b"stale")])
    await new.commit([Change("k", b"new")])
    assert await value(store, "k") == b"new"


@pytest.mark.asyncio
async def test_one_that_does_not_lead_claims_nothing() -> None:
    store = MemoryStore()
    with pytest.raises(Fenced):
        await Claim(store, "a", lambda: False).take()
    assert await store.get(keys.LEADER) is None


class Deaf(MemoryStore):
    """Stores a commit and does not say so, `times`."""

    times = 1

    async def put_all(self, changes: Sequence[Change], fence: Fence | None = None) -> Committed:
        committed = await super().put_all(changes, fence)
        if self.times:
            self.times -= 1
            raise NoAnswer("$KV", 1.0)
        return committed


@pytest.mark.asyncio
async def test_after_a_commit_without_an_answer_it_claims_again() -> None:
    store = Deaf()
    claim = Claim(store, "a", lambda: True)
    await claim.take()
    with pytest.raises(NoAnswer):
        await claim.commit([Change("k", b"1")])
    assert not claim.held, "what it knew of the bucket may be old"
    await claim.commit([Change("k", b"2")])
    assert await value(store, "k") == b"2"
