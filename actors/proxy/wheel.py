"""A coarse timer for many connections: one `call_later` per tick and loop, none per request.

An item is armed for a time; when that is due the item is asked what is due by now and when it wants
to be asked next. So a deadline that moves later costs nothing: the item says so when it is asked.
While nothing is due soon it ticks less often: idle connections alone do not wake a proxy 20 times a
second.
"""

import logging
from collections.abc import Callable
from functools import partial
from typing import Final, Protocol

log = logging.getLogger(__name__)

TICK: Final = 0.05  # seconds
QUIET: Final = 5  # ticks without anything due that are slept through at once
NOT_ARMED: Final = -1


class Timed(Protocol):
    """What a wheel can hold. `slot` belongs to the wheel; it starts as NOT_ARMED."""

    slot: int

    def on_time(self, now: float) -> float | None:
        """Does what is due at `now`; returns when to ask again, None for not at all."""


class Loop(Protocol):
    """Of an event loop, what a wheel needs."""

    def time(self) -> float: ...
    def call_later(self, delay: float, callback: Callable[[], None], /) -> object: ...


class Wheel:
    """`now` is the loop's time, at most about `QUIET` ticks old while anything is armed."""

    __slots__ = ("_loop", "_next", "_quiet_until", "_slots", "_ticking", "_timer", "now")

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._slots: dict[int, dict[Timed, None]] = {}
        self._ticking = False
        self._timer = 0  # the one that counts; those before were overtaken
        self._quiet_until = NOT_ARMED  # the slot up to which it sleeps
        self.now = loop.time()
        self._next = int(self.now / TICK)

    def after(self, seconds: float) -> float:
        """The loop's time in `seconds`, never early as `now` would be."""
        return self._loop.time() + seconds

    def arm(self, item: Timed, when: float) -> None:
        """Has `item` asked at `when` (the loop's time), up to two ticks late; the earliest wins."""
        if not self._ticking:
            self._start()
        slot = max(int(when / TICK) + 1, self._next)
        if item.slot != NOT_ARMED:
            if item.slot <= slot:
                return
            self.disarm(item)
        item.slot = slot
        if slot < self._quiet_until:
            self._tick_in(1)
        self._slots.setdefault(slot, {})[item] = None

    def disarm(self, item: Timed) -> None:
        """Forgets `item`."""
        if (slot := self._slots.get(item.slot)) is not None:
            slot.pop(item, None)
            if not slot:
                del self._slots[item.slot]
        item.slot = NOT_ARMED

    def _start(self) -> None:
        self._ticking = True
        self.now = self._loop.time()
        self._next = int(self.now / TICK)
        self._tick_in(1)

    def _tick_in(self, ticks: int) -> None:
        self._timer += 1
        self._quiet_until = self._next + ticks if ticks > 1 else NOT_ARMED
        self._loop.call_later(TICK * ticks, partial(self._tick, self._timer))

    def _tick(self, timer: int) -> None:
        if timer != self._timer:
            return
        self.now = now = self._loop.time()
        last = int(now / TICK)
        while self._next <= last:
            due = self._slots.pop(self._next, {})
            self._next += 1
            for item in list(due):
                try:
                    self._ask(item, now)
                except Exception:  # of one item, and the others still have their time
                    log.exception("what was due failed: item=%r", item)
        if self._slots:
            soon = range(self._next, self._next + QUIET)
            self._tick_in(1 if any(slot in self._slots for slot in soon) else QUIET)
        else:
            self._ticking = False

    def _ask(self, item: Timed, now: float) -> None:
        if item.slot == NOT_ARMED:  # disarmed by one that was asked before it
            return
        item.slot = NOT_ARMED
        if (again := item.on_time(now)) is not None:
            self.arm(item, again)
