"""Who of several replicas writes a bucket: leadership by put-if-revision on its key `leader`.

`LeadershipMachine` decides (pure, time is an argument), `Leader` performs its effects on a `Store`.
Used by the supervisor (bucket registry) and the evaluators (bucket policies). No clocks are
compared: an observer takes over when it saw the key's revision unchanged for `patience` seconds
of its own clock, or at once when the key says that nobody leads (`NOBODY`). Whoever wrongly
believes that it leads is stopped by the fence: each commit carries the leader key at its expected
revision, so a deposed leader's commit is refused whole.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from tulle.bus import keys
from tulle.bus.errors import BusError, Conflict, Fenced, NoAnswer
from tulle.bus.store import Change, Committed, Fence, Operation, Store

NOBODY: Final = ""
"""The holder that a leader writes which has resigned."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds: a leader refreshes each `refresh`; unrefreshed for `patience`, it is replaced."""

    patience: float = 2.5
    refresh: float = 1.0
    poll: float = 0.25  # so that a death is noticed within 2.75 s, and answered within 3


AWAY_AFTER = 2.0
"""Seconds without an answer of the store, that is asked each second, after which it counts as away:
who was not heard meanwhile has not been silent."""


@dataclass(frozen=True, slots=True)
class Ticked:
    """Event: time for the next step (`LeadershipMachine.pause` after the last one)."""


@dataclass(frozen=True, slots=True)
class Seen:
    """Event: the key as read; revision 0 when nobody ever led, or the key is deleted."""

    revision: int
    holder: str = ""


@dataclass(frozen=True, slots=True)
class Stored:
    """Event: our refresh, take-over or commit was stored; the key is at `revision` now."""

    revision: int


@dataclass(frozen=True, slots=True)
class Refused:
    """Event: our put or commit was refused, someone else wrote the key."""


@dataclass(frozen=True, slots=True)
class Unanswered:
    """Event: nobody knows whether our put or commit was stored, or still will be."""


@dataclass(frozen=True, slots=True)
class Resigned:
    """Event: we shall lead no more, and never again."""


@dataclass(frozen=True, slots=True)
class Read:
    """Effect: read the key, answer with `Seen`."""


@dataclass(frozen=True, slots=True)
class Put:
    """Effect: put our name at `expected`, answer with `Stored`, `Refused` or `Unanswered`."""

    expected: int


@dataclass(frozen=True, slots=True)
class Elected:
    """Effect: we lead from now on."""


@dataclass(frozen=True, slots=True)
class Deposed:
    """Effect: we lead no more; `holder` leads, if known."""

    holder: str = ""


@dataclass(frozen=True, slots=True)
class Release:
    """Effect: put `NOBODY` at `expected`; whatever comes of it, no answer is wanted."""

    expected: int


Event = Ticked | Seen | Stored | Refused | Unanswered | Resigned
Effect = Read | Put | Elected | Deposed | Release


class LeadershipMachine:
    """Follows until the key is free or stale, then leads until refused or unrefreshed."""

    def __init__(self, name: str, timing: Timing) -> None:
        self.name = name
        self.revision = 0  # of the leader key, as we last wrote or saw it
        self._timing = timing
        self._elected = False
        self._sure = True
        self._since = 0.0  # leading: of the last refresh; following: of the revision's first sight

    @property
    def sure(self) -> bool:
        """Whether the key's revision is known: no put of ours is unanswered."""
        return self._sure

    @property
    def pause(self) -> float:
        """Seconds until the next `Ticked`."""
        return self._timing.refresh if self._elected and self._sure else self._timing.poll

    def leads(self, now: float) -> bool:
        """Whether we lead, as far as we can know: others may replace us when this turns False."""
        return self._elected and now - self._since < self._timing.patience

    def handle(self, event: Event, now: float) -> list[Effect]:
        """The effects of `event`, to be performed in order, one event at a time."""
        match event:
            case Ticked():
                return self._ticked(now)
            case Seen(revision, holder):
                return self._seen(revision, holder, now)
            case Stored(revision):
                return self._stored(revision, now)
            case Refused():
                return self._follow("")
            case Unanswered():
                self._sure = False
                return []
            case Resigned():
                release = [Release(self.revision)] if self._elected and self._sure else []
                return [*self._follow(NOBODY), *release]

    def _ticked(self, now: float) -> list[Effect]:
        if self._elected and not self.leads(now):
            return [*self._follow(""), Read()]
        return [Put(self.revision)] if self._elected and self._sure else [Read()]

    def _seen(self, revision: int, holder: str, now: float) -> list[Effect]:
        if self._elected:
            return self._read_back(revision, holder, now)
        # Under our own name wrote our predecessor, which is dead, or a put of ours left unanswered.
        if revision == 0 or holder in (self.name, NOBODY):
            return [Put(revision)]
        if revision != self.revision:
            self.revision, self._since = revision, now
            return []
        return [Put(revision)] if now - self._since >= self._timing.patience else []

    def _read_back(self, revision: int, holder: str, now: float) -> list[Effect]:
        if holder != self.name:
            return self._follow(holder)
        self._sure = True
        self.revision, self._since = revision, now
        return []

    def _stored(self, revision: int, now: float) -> list[Effect]:
        self.revision, self._since, self._sure = revision, now, True
        if self._elected:
            return []
        self._elected = True
        return [Elected()]

    def _follow(self, holder: str) -> list[Effect]:
        was_elected, self._elected = self._elected, False
        self.revision, self._sure = 0, True
        return [Deposed(holder)] if was_elected else []


class Leader:
    """A replica's leadership of `store`. `run()` for ever; `on_change(leading)` at each change.

    `name` must be unique among living replicas, and the same after a restart of this one.
    """

    def __init__(
        self,
        store: Store,
        name: str,
        *,
        on_change: Callable[[bool], None] = lambda leading: None,
        timing: Timing | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._timing = timing or Timing()
        self._machine = LeadershipMachine(name, self._timing)
        self._on_change = on_change
        self._clock = clock
        self._resigned = False
        self._answered = clock()
        self._turn = asyncio.Lock()  # a refresh during a commit would break the commit's fence

    @property
    def leading(self) -> bool:
        """Whether this replica leads; a commit may be refused all the same."""
        return self._machine.leads(self._clock())

    @property
    def reaches_store(self) -> bool:
        """Whether the store answered lately: a link may hang for long before it breaks."""
        return self._clock() - self._answered < AWAY_AFTER

    async def run(self) -> None:
        """Follows, leads and refreshes until it resigns; an unreachable store is tried again."""
        while True:
            async with self._turn:
                if self._resigned:
                    return
                await self._feed(Ticked())
            await asyncio.sleep(self._machine.pause)

    async def resign(self) -> None:
        """Leads no more, and never again; another replica needs no patience then.

        A commit under way is finished before.
        """
        async with self._turn:
            self._resigned = True
            await self._feed(Resigned())

    async def commit(self, changes: Sequence[Change]) -> Committed:
        """`Store.put_all` behind the fence. Raises `Fenced` also when we know that we don't lead.

        `NoAnswer`: whether it was stored shows in the changed keys, once `leading` is sure again.
        """
        async with self._turn:
            if not self._machine.sure:
                await self._read()  # else our own put, stored late, would be taken for another's
            fence = Fence(keys.LEADER, self._machine.name.encode(), self._machine.revision)
            if not self.leading:
                raise Fenced(fence.key, fence.expected)
            try:
                committed = await self._store.put_all(changes, fence)
            except Fenced:
                await self._feed(Refused())
                raise
            except (NoAnswer, asyncio.CancelledError):
                await self._feed(Unanswered())
                raise
            self._answered = self._clock()
            await self._feed(Stored(committed.fence_revision))
            return committed

    async def _feed(self, event: Event) -> None:
        for effect in self._machine.handle(event, self._clock()):
            match effect:
                case Read():
                    await self._read()
                case Put(expected):
                    await self._put(expected)
                case Elected():
                    self._on_change(True)
                case Deposed():
                    self._on_change(False)
                case Release(expected):
                    await self._release(expected)

    async def _read(self) -> None:
        try:
            async with asyncio.timeout(self._timing.refresh):
                entry = await self._store.get(keys.LEADER)
        except (BusError, TimeoutError):
            return  # the next tick reads again
        self._answered = self._clock()
        if entry is None or entry.operation is Operation.DELETE:
            await self._feed(Seen(0))
        else:
            await self._feed(Seen(entry.revision, entry.value.decode(errors="replace")))

    async def _put(self, expected: int) -> None:
        try:
            async with asyncio.timeout(self._timing.refresh):
                value = self._machine.name.encode()
                revision = await self._store.put_if(keys.LEADER, value, expected)
        except Conflict:
            await self._feed(Refused())
        except (BusError, TimeoutError):
            await self._feed(Unanswered())
        else:
            self._answered = self._clock()
            await self._feed(Stored(revision))

    async def _release(self, expected: int) -> None:
        # If it fails, the others are patient, as they are when a leader dies.
        with contextlib.suppress(BusError, TimeoutError):
            async with asyncio.timeout(self._timing.refresh):
                await self._store.put_if(keys.LEADER, NOBODY.encode(), expected)
