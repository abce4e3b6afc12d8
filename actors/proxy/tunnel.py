"""TCP through the mesh: two ends, bytes both ways, each as fast as the slower side takes them.

A `PlainEnd` is an app or its client, a `FramedEnd` another sidecar (wire/frames.py). An end of one
direction is passed on (half-close); a connection that breaks off resets the other, so that no half
of a stream passes for a whole. Counterparts: connect.py opens tunnels, inbound_tcp.py takes them.
"""

import asyncio
import contextlib
import socket
import struct
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Final, cast

from tulle.actors.proxy.stats import NO_FLAG, TcpRecorder
from tulle.actors.proxy.wheel import NOT_ARMED, Wheel
from tulle.actors.proxy.wire.frames import END, FrameError, FrameReader, frame_head, split_greeting

IDLE_SECONDS: Final = 3_600.0  # as Istio's tcp idleTimeout
CLOSE_SECONDS: Final = 60.0  # for what is written when both directions have ended
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


class Tunnel:
    """Two ends that belong together. `client` is where it was opened from.

    `idle` seconds without a byte end it; 0: never. `on_gone` is called once, when both are gone.
    """

    __slots__ = ("_client", "_flag", "_idle", "_left", "_on_gone", "_recorder", "_server", "_wheel",
                 "slot", "touched")  # fmt: skip

    def __init__(
        self,
        client: End,
        server: End,
        recorder: TcpRecorder,
        wheel: Wheel,
        idle: float,
        on_gone: "Callable[[Tunnel], None]",
    ) -> None:
        self.slot = NOT_ARMED
        self.touched = wheel.after(0)
        self._client, self._server = client, server
        self._recorder = recorder
        self._wheel = wheel
        self._idle = idle
        self._on_gone = on_gone
        self._flag = NO_FLAG
        self._left = 2

    def start(self) -> None:
        """Bytes flow from now on."""
        self._recorder.opened()
        self._arm()
        client, server = self._client, self._server
        client.link(self, server, self._counted(self._recorder.received))
        server.link(self, client, self._counted(self._recorder.sent))
        for end in (client, server):
            if end.gone:  # and will not say so again
                self.lost(end)
        for end in (client, server):
            end.flow()

    def ended(self, end: End) -> None:
        """Nothing more comes from `end`: the other side hears of it."""
        if end.done:
            return
        end.done = True
        other = self._server if end is self._client else self._client
        other.finish()
        if other.done:
            self._idle = CLOSE_SECONDS
            self._arm()
            end.transport.close()
            other.transport.close()

    def lost(self, end: End) -> None:
        """The connection of `end` is gone; if not in order, so is the other's."""
        self._left -= 1
        last = not self._left
        if not (self._client.done and self._server.done):
            self.cut("DC" if end is self._client else "UC")
        if last:
            self._wheel.disarm(self)
            self._recorder.closed(self._flag)
            self._on_gone(self)

    def cut(self, flag: str) -> None:
        """Ends both at once; `flag` says why, if nothing has said so before."""
        if self._flag == NO_FLAG:
            self._flag = flag
        self._client.done = self._server.done = True
        for end in (self._client, self._server):
            end.cut()

    def on_time(self, now: float) -> float | None:
        """Ends what was idle for too long."""
        due = self.touched + self._idle
        if now < due:
            return due
        self.cut("SI")
        return None

    def _arm(self) -> None:
        if self._idle:
            self.touched = self._wheel.after(0)
            self._wheel.arm(self, self.touched + self._idle)

    def _counted(self, count: Callable[[int], None]) -> Callable[[int], None]:
        def counted(size: int) -> None:
            self.touched = self._wheel.now
            count(size)

        return counted


class Tunnels:
    """All tunnels of an edge, for its drain."""

    def __init__(self) -> None:
        self.open: set[Tunnel] = set()
        self._empty = asyncio.Event()

    def add(self, tunnel: Tunnel) -> None:
        """One more."""
        self.open.add(tunnel)

    def gone(self, tunnel: Tunnel) -> None:
        """One less."""
        self.open.discard(tunnel)
        if not self.open:
            self._empty.set()

    async def drain(self, seconds: float) -> None:
        """Returns when none is left, or the time is over."""
        if self.open and seconds > 0:
            self._empty.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._empty.wait()

    def cut(self) -> int:
        """Ends those that are left; their number."""
        left = list(self.open)
        for tunnel in left:
            tunnel.cut("-")
        return len(left)


def _uncounted(count: int) -> None:
    """Before an end is linked nothing is counted."""
