"""A slow reader of a watch: the newest of each key, and a complete picture at `Ready`."""

import asyncio

import pytest

from tulle.bus.conflate import Conflated
from tulle.bus.store import Entry, Ready


async def drain(changes: Conflated) -> list[Entry | Ready]:
    """All that can be read without waiting for more."""
    items = []
    try:
        while True:
            items.append(await asyncio.wait_for(anext(changes), 0.01))
    except TimeoutError:
        return items


@pytest.mark.asyncio
async def test_only_the_newest_of_a_key_is_kept_in_the_order_of_revisions() -> None:
    changes = Conflated()
    changes.complete()
    for revision, key in enumerate(["a", "b", "a", "c", "b"], start=1):
        changes.put(Entry(key, b"", revision))
    assert await drain(changes) == [
        Ready(0),
        Entry("a", b"", 3),
        Entry("c", b"", 4),
        Entry("b", b"", 5),
    ]


@pytest.mark.asyncio
async def test_a_key_that_exists_is_read_before_ready_though_it_changed() -> None:
    changes = Conflated()
    changes.put(Entry("a", b"", 1))
    changes.put(Entry("b", b"", 2))
    changes.complete()
    changes.put(Entry("a", b"", 3))
    changes.put(Entry("new", b"", 4))
    assert await drain(changes) == [
        Entry("a", b"", 3),
        Entry("b", b"", 2),
        Ready(3),
        Entry("new", b"", 4),
    ]


@pytest.mark.asyncio
async def test_there_is_no_ready_before_the_picture_is_complete() -> None:
    changes = Conflated()
    changes.put(Entry("a", b"", 1))
    assert await drain(changes) == [Entry("a", b"", 1)]
    changes.put(Entry("a", b"", 2))
    changes.complete()
    assert await drain(changes) == [Entry("a", b"", 2), Ready(2)]


@pytest.mark.asyncio
async def test_a_waiting_reader_is_woken_by_a_failure() -> None:
    changes = Conflated()
    reader = asyncio.ensure_future(anext(changes))
    await asyncio.sleep(0)
    changes.fail(RuntimeError("lost"))
    with pytest.raises(RuntimeError, match="lost"):
        await reader
