"""Typed records of a bucket that this process alone writes: its newest picture of them.

One change at a time, each at the revision that it was decided on. A write without an answer may
have been stored, or still be: then the record's next change meets a `Conflict`, reads, and decides
again on what it read.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from tulle.bus import codec
from tulle.bus.errors import Conflict
from tulle.bus.messages import Message
from tulle.bus.store import Change, Committed, Operation, Store

RecordT = TypeVar("RecordT", bound=Message)
Commit = Callable[[Sequence[Change]], Awaitable[Committed]]


class Ledger(Generic[RecordT]):
    """Records of `kind` below `prefix`. `commit` is the store's `put_all`, or a leader's commit.

    `on_change(key, revision)` is told of each change that was stored.
    """

    def __init__(
        self,
        store: Store,
        kind: type[RecordT],
        prefix: str,
        commit: Commit,
        on_change: Callable[[str, int], None] = lambda key, revision: None,
    ) -> None:
        self._store = store
        self._kind = kind
        self._prefix = prefix
        self._commit = commit
        self._on_change = on_change
        self._records: dict[str, RecordT] = {}
        self._revisions: dict[str, int] = {}
        self._turn = asyncio.Lock()

    async def load(self) -> None:
        """Reads all records. Raises `BusError`, `Undecodable` when a record is not of `kind`."""
        entries = await self._store.get_all(self._prefix)
        self._records = {entry.key: codec.decode(self._kind, entry.value) for entry in entries}
        self._revisions = {entry.key: entry.revision for entry in entries}

    def get(self, key: str) -> RecordT | None:
        """The record, if there is one."""
        return self._records.get(key)

    def all(self) -> list[RecordT]:
        """All records, by key."""
        return [record for _, record in sorted(self._records.items())]

    async def change(
        self, key: str, decide: Callable[[RecordT | None], RecordT | None]
    ) -> tuple[RecordT | None, int]:
        """Writes what `decide` makes of the record (None: there is none) and returns it.

        The number is the record's revision; nothing is written when nothing changes. Raises
        `BusError`, and what `decide` raises, which may be called twice.
        """
        async with self._turn:
            try:
                return await self._write(key, decide(self._records.get(key)))
            except Conflict:
                await self._read(key)
                self._on_change(key, self._revisions.get(key, 0))
                return await self._write(key, decide(self._records.get(key)))

    async def _write(self, key: str, record: RecordT | None) -> tuple[RecordT | None, int]:
        expected = self._revisions.get(key, 0)
        if record == self._records.get(key):
            return record, expected
        change = (
            Change(key, operation=Operation.DELETE, expected=expected)
            if record is None
            else Change(key, codec.encode(record), expected=expected)
        )
        revision = (await self._commit([change])).revision
        self._take(key, record, revision)
        self._on_change(key, revision)
        return record, revision

    async def _read(self, key: str) -> None:
        entry = await self._store.get(key)
        if entry is None or entry.operation is Operation.DELETE:
            self._take(key, None, 0)
        else:
            self._take(key, codec.decode(self._kind, entry.value), entry.revision)

    def _take(self, key: str, record: RecordT | None, revision: int) -> None:
        if record is None:
            self._records.pop(key, None)
            self._revisions.pop(key, None)
        else:
            self._records[key] = record
            self._revisions[key] = revision
