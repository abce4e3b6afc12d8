"""A `Store` in memory, with the semantics of `jetstream.py`: for tests and simulations.

One suite in tests/contract runs on both. Nothing in here waits, except a watch for the next change.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from tulle.bus.conflate import Conflated
from tulle.bus.errors import Conflict, Fenced, StoreReplaced, TooManyChanges
from tulle.bus.store import (
    MAX_BATCH,
    Change,
    Committed,
    Entry,
    Fence,
    Operation,
    Watch,
    check_size,
    matches,
)


class MemoryStore:
    """One bucket; every method is atomic, since none waits."""

    def __init__(self, bucket: str = "memory") -> None:
        self._bucket = bucket
        self._entries: dict[str, Entry] = {}
        self._revision = 0
        self._watches: list[tuple[str, Conflated]] = []

    async def get(self, key: str) -> Entry | None:
        return self._entries.get(key)

    async def get_all(self, prefix: str = "") -> list[Entry]:
        return [
            entry
            for key, entry in sorted(self._entries.items())
            if matches(prefix, key) and entry.operation is Operation.PUT
        ]

    async def put_if(self, key: str, value: bytes, revision: int) -> int:
        self._check(key, revision)
        return self._store(key, value, Operation.PUT)

    async def put_all(self, changes: Sequence[Change], fence: Fence | None = None) -> Committed:
        count = check_size(changes, fence)
        if count > MAX_BATCH:
            raise TooManyChanges(count, MAX_BATCH)
        if fence is not None and not self._is_at(fence.key, fence.expected):
            raise Fenced(fence.key, fence.expected)
        for change in changes:
            if change.expected is not None:
                self._check(change.key, change.expected)
        first = self._store(fence.key, fence.value, Operation.PUT) if fence is not None else 0
        for change in changes:
            self._store(change.key, change.value, change.operation)
        return Committed(self._revision, first)

    @asynccontextmanager
    async def watch(self, prefix: str = "") -> AsyncIterator[Watch]:
        watch = (prefix, Conflated())
        for entry in sorted(self._entries.values(), key=lambda entry: entry.revision):
            if matches(prefix, entry.key):
                watch[1].put(entry)
        watch[1].complete()
        self._watches.append(watch)
        try:
            yield watch[1]
        finally:
            self._watches.remove(watch)

    def replace(self) -> None:
        """Empties the bucket as if it had been made anew: revisions start again."""
        self._entries.clear()
        self._revision = 0
        for _, watch in self._watches:
            watch.fail(StoreReplaced(self._bucket))

    def _is_at(self, key: str, expected: int) -> bool:
        entry = self._entries.get(key)
        if entry is None or (expected == 0 and entry.operation is Operation.DELETE):
            return expected == 0
        return entry.revision == expected

    def _check(self, key: str, expected: int) -> None:
        if not self._is_at(key, expected):
            raise Conflict(key, expected)

    def _store(self, key: str, value: bytes, operation: Operation) -> int:
        self._revision += 1
        value = value if operation is Operation.PUT else b""
        entry = Entry(key, value, self._revision, operation)
        self._entries[key] = entry
        for prefix, watch in self._watches:
            if matches(prefix, key):
                watch.put(entry)
        return self._revision
