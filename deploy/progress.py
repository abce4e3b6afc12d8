"""What `tulle up` prints while it starts: a line per phase, with its time."""

import sys
import time
from typing import TextIO


class Progress:
    """Lines like `  1.2 s  Ray (0.9 s)`: since the start, and for this phase."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out or sys.stdout
        self._began = self._last = time.monotonic()

    def done(self, what: str) -> None:
        """A phase is over."""
        now = time.monotonic()
        self.say(f"{now - self._began:6.1f} s  {what} ({now - self._last:.1f} s)")
        self._last = now

    def again(self, line: str) -> None:
        """A phase begins that was over already."""
        self._last = time.monotonic()
        self.say(line)

    def say(self, line: str) -> None:
        """A line of its own."""
        print(line, file=self._out, flush=True)
