"""A bucket that a leader writes besides the one that it was elected on: fenced by its own claim.

Leadership is put-if-revision on one bucket's key `leader` (leadership.py), and a batch is of one
bucket, so that fence guards no other. Each further bucket has a key `leader` too, taken at the
election: whoever was deposed is refused there from its successor's claim on. The evaluator claims
`config`, the supervisor `desired` and `credentials`.
"""

import asyncio
from collections.abc import Callable, Sequence

from tulle.bus import keys
from tulle.bus.errors import Fenced
from tulle.bus.store import Change, Committed, Fence, Store


class Claim:
    """One leader's claim of `store`. `leading()`: whether it leads, as far as it can know."""

    def __init__(self, store: Store, name: str, leading: Callable[[], bool]) -> None:
        self._store = store
        self._name = name
        self._leading = leading
        self._fence: Fence | None = None
        self._turn = asyncio.Lock()  # each commit moves the fence

    @property
    def held(self) -> bool:
        """Whether it was taken, and nothing has failed since."""
        return self._fence is not None

    async def take(self) -> None:
        """Takes the bucket; read only then what the predecessor left. Raises `BusError`."""
        async with self._turn:
            await self._take()

    def release(self) -> None:
        """Nobody knows any more what the bucket holds: it is to be taken again."""
        self._fence = None

    async def commit(self, changes: Sequence[Change]) -> Committed:
        """`Store.put_all` behind the claim, taken again after a failure. Raises `Fenced` when
        another one leads."""
        async with self._turn:
            fence = self._fence or await self._take()
            self._fence = None  # until it is known where it is
            committed = await self._store.put_all(changes, fence)
            self._fence = Fence(fence.key, fence.value, committed.fence_revision)
            return committed

    async def _take(self) -> Fence:
        self._fence = None
        before = await self._store.get(keys.LEADER)
        expected = before.revision if before else 0
        # Asked after the read: a successor's claim from here on makes the put a conflict.
        if not self._leading():
            raise Fenced(keys.LEADER, expected)
        value = self._name.encode()
        revision = await self._store.put_if(keys.LEADER, value, expected)
        self._fence = Fence(keys.LEADER, value, revision)
        return self._fence
