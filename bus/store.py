"""What a bucket of facts can do: the `Store`, its values, and what every implementation promises.

Implementations: `jetstream.py` (JetStream key-value) and `memory.py` (for tests and simulations);
tests/contract runs one suite on both. Values are bytes; messages become bytes in `codec.py`.

- A bucket keeps the last value of each key; a delete stays as an entry without value.
- Revisions are numbers of the bucket, rising by one per stored change. Revision 0 is "no entry".
- A commit (`put_all`) is stored whole or not at all, its revisions follow one another.
- `NoAnswer` of a write leaves open whether it was, or still will be, stored; a read right after
  it may be too early to tell. Repeat it with the same expected revision: it is stored once at
  most, and a `Conflict` means to read back, it may be one's own first try. A write without
  expected revision is never repeated.
- A watch gives what is there, `Ready`, then every later change in order. It may leave out a value
  that was overwritten meanwhile, never the newest. It mends itself when the connection breaks.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from tulle.bus.errors import Conflict
from tulle.bus.keys import EPOCH

MAX_BATCH: Final = 1000
"""JetStream's limit of messages in one atomic batch; a fence is one of them."""


class Operation(StrEnum):
    """What an entry or change is."""

    PUT = "put"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Entry:
    """A key's newest state: the revision that made it so; `value` is empty after a delete."""

    key: str
    value: bytes
    revision: int
    operation: Operation = Operation.PUT


@dataclass(frozen=True, slots=True)
class Change:
    """One key's part in a commit. `expected`: its revision before, 0: no value, None: any."""

    key: str
    value: bytes = b""
    operation: Operation = Operation.PUT
    expected: int | None = None


@dataclass(frozen=True, slots=True)
class Fence:
    """The leader key in a commit: written first, so that nobody commits who leads no more."""

    key: str
    value: bytes
    expected: int


@dataclass(frozen=True, slots=True)
class Committed:
    """The revision of a commit's last change, and of its fence (0: there was none)."""

    revision: int
    fence_revision: int = 0


@dataclass(frozen=True, slots=True)
class Ready:
    """In a watch: all that was there at its start has been given. `revision`: of the bucket."""

    revision: int


Watch = AsyncIterator[Entry | Ready]


class Store(Protocol):
    """One bucket."""

    async def get(self, key: str) -> Entry | None:
        """The newest entry of `key`, a deleted one too; None: never written."""

    async def get_all(self, prefix: str = "") -> list[Entry]:
        """Entries that are not deleted, whose key is `prefix` or starts with `prefix.`, by key."""

    async def put_if(self, key: str, value: bytes, revision: int) -> int:
        """Writes when `key` is at `revision`, returns the new one. Raises `Conflict`.

        Revision 0 demands that the key has no value: never written, or deleted.
        """

    async def put_all(self, changes: Sequence[Change], fence: Fence | None = None) -> Committed:
        """Commits all changes or none. Raises `Fenced`, `Conflict`, `TooManyChanges`."""

    def watch(self, prefix: str = "") -> AbstractAsyncContextManager[Watch]:
        """`async with store.watch(...) as changes: async for change in changes: ...`

        Raises, while iterating, `StoreReplaced` when the bucket was made anew.
        """


def matches(prefix: str, key: str) -> bool:
    """Whether a key is `prefix` or below it; the empty prefix has all keys below it."""
    return not prefix or key == prefix or key.startswith(f"{prefix}.")


def check_size(changes: Sequence[Change], fence: Fence | None) -> int:
    """How many messages a commit is. Raises `ValueError` when it is none or names a key twice."""
    keys = [change.key for change in changes]
    if fence is not None:
        keys.append(fence.key)
    if not changes:
        raise ValueError("a commit needs at least one change")
    if len(set(keys)) < len(keys):
        raise ValueError("a commit names each key once")
    return len(keys)


async def epoch(policies: Store, proposal: str, server: str = "") -> str:
    """The mesh's epoch, kept in bucket `policies`; made from `proposal` when there is none yet,
    or when the one that is there was made at another start of the server.

    All revisions belong to one epoch. A store that was wiped begins another, and so does each
    start of `server` (`Connection.server`): nobody can tell by its content whether what it found
    is what it had, or an older copy (docs/decisions/0018). `proposal` is random, e.g.
    `secrets.token_hex(8)`.
    """
    entry = await policies.get(EPOCH)
    known = entry.value.decode() if entry is not None else ""
    if known and (not server or known.endswith(f"-{server}")):
        return known
    made = f"{proposal}-{server}" if server else proposal
    try:
        await policies.put_if(EPOCH, made.encode(), entry.revision if entry is not None else 0)
    except Conflict:
        return await epoch(policies, proposal, server)
    return made
