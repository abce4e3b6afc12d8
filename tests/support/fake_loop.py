"""A loop and transports without sockets: time stands still until it is told to go on."""

import asyncio
from collections.abc import Callable
from typing import Any


class ManualLoop:
    """`call_soon` and `call_later` alone; `turn` runs what is soon, `advance` lets time pass."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.fired = 0  # timers so far
        self._soon: list[Callable[[], None]] = []
        self._later: list[tuple[float, Callable[[], None]]] = []

    def time(self) -> float:
        return self.now

    def call_soon(self, callback: Callable[[], None], /) -> None:
        self._soon.append(callback)

    def call_later(self, delay: float, callback: Callable[[], None], /) -> None:
        self._later.append((self.now + delay, callback))

    @property
    def timers(self) -> int:
        """How many timers wait."""
        return len(self._later)

    def turn(self) -> None:
        """Runs what is to be called soon, until nothing is."""
        while self._soon:
            soon, self._soon = self._soon, []
            for callback in soon:
                callback()

    def advance(self, seconds: float) -> None:
        """Lets time pass, calling what is due on its way."""
        until = self.now + seconds
        self.turn()
        while due := [entry for entry in self._later if entry[0] <= until]:
            first = min(due, key=lambda entry: entry[0])
            self._later.remove(first)
            self.now = max(self.now, first[0])
            self.fired += 1
            first[1]()
            self.turn()
        self.now = until


class FakeTransport(asyncio.Transport):
    """Remembers what was done to it. Its protocol hears of close and abort at once."""

    def __init__(self, protocol: asyncio.Protocol, peer: str = "192.0.2.9") -> None:
        super().__init__()
        self.protocol = protocol
        self.written: list[bytes] = []
        self.reading = True
        self.eof = False
        self.half_closes = True  # TLS transports don't
        self.ended = ""  # "closed" or "aborted"
        self.unsent = 0  # what get_write_buffer_size says
        self.high: int | None = None  # the mark of the write buffer
        self.close_later = False  # a close waits for a reader that does not read
        self._peer = peer
        protocol.connection_made(self)

    def take(self) -> bytes:
        """What was written since the last time."""
        data, self.written = b"".join(self.written), []
        return data

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return (self._peer, 1234) if name == "peername" else default

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.ended
        assert data
        self.written.append(bytes(data))

    def writelines(self, pieces: Any) -> None:
        for piece in pieces:
            self.write(piece)

    def write_eof(self) -> None:
        assert self.half_closes
        self.eof = True

    def can_write_eof(self) -> bool:
        return self.half_closes

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self.high = high

    def is_closing(self) -> bool:
        return bool(self.ended)

    def pause_reading(self) -> None:
        assert self.reading
        self.reading = False

    def resume_reading(self) -> None:
        assert not self.reading
        self.reading = True

    def close(self) -> None:
        if not self.close_later:
            self._end("closed")

    def abort(self) -> None:
        self._end("aborted")

    def lose(self, error: Exception | None = None) -> None:
        """The peer ended the connection: in order, or by a reset."""
        if error is None:
            self.protocol.eof_received()
        self._end("lost", error)

    def _end(self, how: str, error: Exception | None = None) -> None:
        if not self.ended:
            self.ended = how
            self.protocol.connection_lost(error)
