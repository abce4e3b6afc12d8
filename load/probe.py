"""How long an event loop keeps those waiting whose time has come: asked of it each millisecond."""

import asyncio
import time
from dataclasses import dataclass
from typing import Final

PAUSE: Final = 0.001


@dataclass(frozen=True, slots=True)
class Stall:
    """Seconds: the longest time that the loop was late, and the most CPU it used between two ticks.

    The first has in it what other processes took of the machine, the second has not.
    """

    longest: float
    cpu: float
    ticks: int


class Probe:
    """A timer on `loop` from `start` to `stop`."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._longest = self._cpu = 0.0
        self._ticks = 0
        self._at = self._used = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Looks from now on. Of the loop's thread alone."""
        self._at, self._used = time.monotonic(), time.thread_time()
        self._timer = self._loop.call_later(PAUSE, self._tick)

    def stop(self) -> Stall:
        """What was found."""
        if self._timer is not None:
            self._timer.cancel()
        return Stall(self._longest, self._cpu, self._ticks)

    def _tick(self) -> None:
        now, used = time.monotonic(), time.thread_time()
        self._longest = max(self._longest, now - self._at - PAUSE)
        self._cpu = max(self._cpu, used - self._used)
        self._ticks += 1
        self._at, self._used = now, used
        self._timer = self._loop.call_later(PAUSE, self._tick)
