"""Gathers what is written in one turn of the loop, and writes it at the beginning of the next.

All that became readable in a turn is read and decided first. Written one by one in between, each
piece would wake its sleeping receiver anew: a tenth of the CPU of a small request.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Final, Protocol

log = logging.getLogger(__name__)

JOINED_BYTES: Final = 16_384  # up to here copying is cheaper than a second write


class Loop(Protocol):
    """Of an event loop, what an outbox needs."""

    def call_soon(self, callback: Callable[[], None], /) -> object: ...


class Outbox:
    """One per loop. What is written through it stays in order, for each transport."""

    __slots__ = ("_closes", "_loop", "_writes", "turn")

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self.turn = 0  # rises with each flush: what was written in an earlier turn is on its way
        self._writes: list[tuple[asyncio.WriteTransport, bytes | list[bytes]]] = []
        self._closes: list[Callable[[], None]] = []

    def write(self, transport: asyncio.WriteTransport, data: bytes | list[bytes]) -> None:
        """Writes `data`, as one if it is pieces and they are small, never copying a large body."""
        if not self._writes:
            self._loop.call_soon(self._flush)
        self._writes.append((transport, data))

    def close(self, close: Callable[[], None]) -> None:
        """Calls `close`, a transport's method, once all that was written up to now is."""
        if self._writes:
            self._closes.append(close)
        else:
            close()

    def _flush(self) -> None:
        self.turn += 1
        writes, self._writes = self._writes, []
        closes, self._closes = self._closes, []
        for transport, data in writes:
            try:
                if transport.is_closing():
                    continue
                if isinstance(data, bytes):
                    transport.write(data)
                elif sum(map(len, data)) <= JOINED_BYTES:
                    transport.write(b"".join(data))
                else:
                    transport.writelines(data)
            except Exception:  # of one connection, and the others still get theirs
                log.exception("a write failed: transport=%r", transport)
                transport.abort()
        for close in closes:
            try:
                close()
            except Exception:  # as above
                log.exception("a close failed: close=%r", close)
