"""The two kinds of ends of a tunnel: bytes as they are, and frames (wire/frames.py).

A `PlainEnd` is an app or its client, a `FramedEnd` another sidecar. Counterpart: tunnel.py, which
joins two of them.
"""

import asyncio
import socket
import struct
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, cast

from tulle.actors.proxy.wire.frames import END, FrameError, FrameReader, frame_head, split_greeting

if TYPE_CHECKING:
    from tulle.actors.proxy.tunnel import Tunnel

BUFFER_BYTES: Final = 262_144  # written and not taken, before the other end is read no more

_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)  # struct linger: on, 0 seconds


def reset(transport: asyncio.Transport) -> None:
    """Resets the connection: what was sent must not pass for all there was."""
    raw = transport.get_extra_info("socket")
    if raw is not None:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    transport.abort()


class End(asyncio.Protocol, ABC):
    """One connection of a tunnel. What comes before it is linked waits, and no more is read."""

    __slots__ = ("_count", "_early", "_early_eof", "_other", "_paused", "done", "gone", "transport",
                 "tunnel")  # fmt: skip

    transport: asyncio.Transport

    def __init__(self) -> None:
        self.done = False  # nothing more comes from here
        self.gone = False
        self.tunnel: Tunnel | None = None
        self._other: End = self
        self._count: Callable[[int], None] = _uncounted
        self._early = b""
        self._early_eof = False
        self._paused = False

    def link(self, tunnel: "Tunnel", other: "End", count: Callable[[int], None]) -> None:
        """From now on what comes is counted and goes to `other`."""
        self.tunnel, self._other, self._count = tunnel, other, count

    def flow(self) -> None:
        """Takes what came before the link, and reads on."""
        assert self.tunnel is not None
        early, self._early = self._early, b""
        if early:
            self.take(early)
        if self._early_eof:
            self.tunnel.ended(self)
        self.resume()

    @abstractmethod
    def take(self, data: bytes) -> None:
        """What came from here."""

    @abstractmethod
    def send(self, data: bytes) -> None:
        """Writes a piece."""

    @abstractmethod
    def finish(self) -> None:
        """Nothing more is sent; what comes from here still goes on."""

    def cut(self) -> None:
        """Ends it at once, as a break."""
        if not self.gone:  # its descriptor may be another connection's by now
            reset(self.transport)

    def pause(self) -> None:
        """The other end does not keep up."""
        if not self._paused and not self.transport.is_closing():
            self._paused = True
            self.transport.pause_reading()

    def resume(self) -> None:
        """The other end keeps up again. After its end there is nothing to read."""
        if self._paused and not self.done and not self.transport.is_closing():
            self._paused = False
            self.transport.resume_reading()

    # Called by the loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(high=BUFFER_BYTES)

    def data_received(self, data: bytes) -> None:
        if self.tunnel is None:
            self._early += data
            self.pause()
        else:
            self.take(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone = True
        if self.tunnel is not None:
            self.tunnel.lost(self)

    def pause_writing(self) -> None:
        if self.tunnel is not None:
            self._other.pause()

    def resume_writing(self) -> None:
        if self.tunnel is not None:
            self._other.resume()


class PlainEnd(End):
    """An app, or who talks to one through its sidecar: bytes as they are."""

    __slots__ = ()

    def adopt(self, transport: asyncio.Transport, early: bytes, paused: bool) -> None:
        """Takes over a connection from another protocol: what it has read, and whether it reads."""
        transport.set_protocol(self)
        self.connection_made(transport)
        self._early, self._paused = early, paused

    def take(self, data: bytes) -> None:
        self._count(len(data))
        self._other.send(data)

    def send(self, data: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(data)

    def finish(self) -> None:
        if not self.transport.is_closing():
            self.transport.write_eof()

    def eof_received(self) -> bool:
        if self.tunnel is None:
            self._early_eof = True
        else:
            self.tunnel.ended(self)
        return True  # stays open for the other direction


class FramedEnd(End):
    """Another sidecar, over mTLS."""

    __slots__ = ("_frames", "_greeting")

    def __init__(self) -> None:
        super().__init__()
        self._frames = FrameReader()
        self._greeting: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()

    async def greeting(self) -> bytes:
        """The payload of the first frame. Raises ConnectionError when none comes."""
        payload = await asyncio.shield(self._greeting)
        if payload is None:
            raise ConnectionResetError("closed, or something else than a greeting")
        return payload

    def data_received(self, data: bytes) -> None:
        if self._greeting.done():
            super().data_received(data)
            return
        self._early += data
        try:
            greeting = split_greeting(self._early)
        except FrameError:
            self.transport.abort()
            return
        if greeting is not None:
            payload, self._early = greeting
            self._greeting.set_result(payload)
            self.pause()

    def take(self, data: bytes) -> None:
        assert self.tunnel is not None
        try:
            for piece in self._frames.feed(data):
                self._count(len(piece))
                self._other.send(piece)
        except FrameError:
            self.tunnel.cut("UPE")
            return
        if self._frames.ended and not self.done:
            self.tunnel.ended(self)

    def send(self, data: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.writelines((frame_head(len(data)), data))

    def finish(self) -> None:
        if not self.transport.is_closing():
            self.transport.write(END)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._greeting.done():
            self._greeting.set_result(None)
        super().connection_lost(exc)


def _uncounted(count: int) -> None:
    """Before an end is linked nothing is counted."""
