"""A coarse timer for many connections: one `call_later` per tick and loop, none per request.

An item is armed for a time; when that is due the item is asked what is due by now and when it wants
to be asked next. So a deadline that moves later costs nothing: the item says so when it is asked.
"""

import logging
from collections.abc import Callable
from typing import Final, Protocol

log = logging.getLogger(__name__)

TICK: Final = 0.05  # seconds
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
    """`now` is the loop's time, at most about a tick old while anything is armed."""

    __slots__ = ("_loop", "_next", "_slots", "_ticking", "now")

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._slots: dict[int, dict[Timed, None]] = {}
        self._ticking = False
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
        self._loop.call_later(TICK, self._tick)

    def _tick(self) -> None:
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
            self._loop.call_later(TICK, self._tick)
        else:
            self._ticking = False

    def _ask(self, item: Timed, now: float) -> None:
        if item.slot == NOT_ARMED:  # disarmed by one that was asked before it
            return
        item.slot = NOT_ARMED
        if (again := item.on_time(now)) is not None:
            self.arm(item, again)
