"""TCP through the mesh: two ends, bytes both ways, each as fast as the slower side takes them.

An end of one direction is passed on (half-close); a connection that breaks off resets the other,
so that no half of a stream passes for a whole. Counterparts: ends.py; connect.py opens tunnels,
inbound_tcp.py takes them.
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final

from tulle.actors.proxy.ends import End
from tulle.actors.proxy.stats import NO_FLAG, TcpRecorder
from tulle.actors.proxy.wheel import NOT_ARMED, Wheel

IDLE_SECONDS: Final = 3_600.0  # as Istio's tcp idleTimeout
CLOSE_SECONDS: Final = 60.0  # for what is written when both directions have ended


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
