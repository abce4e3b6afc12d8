"""A file of lines that nobody waits for: gathered in memory, written by a thread, bounded.

When the disk does not keep up, lines are dropped and counted. Rotated as the logs are
(actors.logs).
"""

import asyncio
import logging
import os
from pathlib import Path
from typing import Final

from tulle.actors import logs

FLUSH_SECONDS: Final = 1.0
FLUSH_BYTES: Final = 65_536
BUFFER_BYTES: Final = 1_048_576
"""What waits for the disk at most, beside the piece that is being written."""
CLOSE_SECONDS: Final = 2.0

log = logging.getLogger(__name__)


class LineFile:
    """All methods belong to `loop`, but for `_write`, which runs in a thread, one at a time."""

    def __init__(self, path: Path, loop: asyncio.AbstractEventLoop) -> None:
        self.dropped = 0  # lines
        self._path = path
        self._loop = loop
        self._lines: list[bytes] = []
        self._size = 0
        self._told = 0  # of those dropped, how many are in the log
        self._timer: asyncio.TimerHandle | None = None
        self._writing: asyncio.Future[None] | None = None

    def add(self, line: bytes) -> None:
        """Takes a line, with its newline."""
        size = self._size + len(line)
        if size > BUFFER_BYTES:
            self.dropped += 1
            return
        self._size = size
        self._lines.append(line)
        if size >= FLUSH_BYTES:
            self._flush()
        elif self._timer is None:
            self._timer = self._loop.call_later(FLUSH_SECONDS, self._on_timer)

    async def close(self) -> None:
        """Returns when all of it is written, or the disk takes too long. Lines may come after."""
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                while self._writing is not None or self._lines:
                    self._flush()
                    if self._writing is not None:
                        await asyncio.wait([self._writing])
        except TimeoutError:
            log.warning("lines may be lost: path=%s", self._path)
        self._end_timer()

    def _on_timer(self) -> None:
        self._timer = None
        self._flush()

    def _flush(self) -> None:
        if self._writing is not None or not self._lines:
            return
        self._end_timer()
        lines, self._lines, self._size = self._lines, [], 0
        work = self._loop.run_in_executor(None, self._write, b"".join(lines))
        self._writing = work
        work.add_done_callback(lambda done: self._written(done, len(lines)))

    def _written(self, done: "asyncio.Future[None]", lines: int) -> None:
        self._writing = None
        if not done.cancelled() and (error := done.exception()) is not None:
            self.dropped += lines
            log.warning("lines were not written: path=%s error=%s", self._path, error)
        if self.dropped > self._told:
            log.warning("lines were dropped: path=%s lines=%d", self._path, self.dropped)
            self._told = self.dropped
        if self._size >= FLUSH_BYTES:
            self._flush()
        elif self._lines and self._timer is None:
            self._timer = self._loop.call_later(FLUSH_SECONDS, self._on_timer)

    def _end_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _write(self, data: bytes) -> None:
        """Opened anew each time: at most once a second, and somebody may have moved the file."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        with os.fdopen(os.open(self._path, flags, 0o600), "ab", buffering=0) as file:
            if file.tell() and file.tell() + len(data) > logs.LARGEST_FILE:
                self._path.replace(self._path.with_name(f"{self._path.name}.1"))
                self._write(data)
            else:
                _write_all(file.fileno(), data)


def _write_all(descriptor: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]
