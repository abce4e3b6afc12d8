"""One shard, while it is at this collector: its sums, and the file that they outlive it in.

Whoever has a shard holds the lock on its file: the kernel gives it up when the process dies, and
nobody else can have it while the process is merely slow. So no two collectors ever save one shard.
"""

import asyncio
import fcntl
import os
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Self

from tulle.actors.telemetry import remembered
from tulle.actors.telemetry.totals import Totals
from tulle.bus.messages import TelemetryBatch


class Shard:
    """Made by `take`. `waiting`: reply subjects of those who want to hear that all is saved."""

    def __init__(self, name: str, folder: Path, lock: int, totals: Totals) -> None:
        self.name = name
        self.totals = totals
        self.waiting: list[str] = []
        self._folder = folder
        self._lock = lock
        self._file = threading.Lock()
        self._saved = totals.changes

    @classmethod
    def take(cls, name: str, folder: Path) -> Self | None:
        """The shard, with what it had counted; None: another has it. Raises OSError; it blocks."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(folder / f"{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            totals = Totals()
            totals.restore(remembered.load(folder, name))
        except BlockingIOError:
            os.close(lock)
            return None
        except BaseException:
            os.close(lock)
            raise
        return cls(name, folder, lock, totals)

    @property
    def changed(self) -> bool:
        """Whether something is not saved yet."""
        return self.totals.changes != self._saved

    async def save(self) -> list[str]:
        """Saves what changed; who waited for it, to be told by the caller. Raises OSError."""
        changes, waiting = self.totals.changes, list(self.waiting)
        if changes != self._saved:
            await asyncio.to_thread(self._write, changes, self.totals.remember())
        self.waiting = [one for one in self.waiting if one not in waiting]
        return waiting

    def let_go(self) -> None:
        """Another may have it from now on; to be saved before, and not to be used any more."""
        with self._file:
            if self._lock >= 0:
                os.close(self._lock)
                self._lock = -1

    def _write(self, changes: int, batches: Iterable[TelemetryBatch]) -> None:
        # Nobody writes what is older than the file, nor without the lock: a thread goes on when
        # who waited for it was cancelled.
        with self._file:
            if self._lock >= 0 and changes > self._saved:
                remembered.save(self._folder, self.name, batches)
                self._saved = changes
