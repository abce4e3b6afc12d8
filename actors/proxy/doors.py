"""The listening sockets of a proxy: asked of its holder, opened in the plane, retired at the end.

Counterparts: actors.holding.holder; `listener.py`. A door that can't be opened is a problem of its
own and is tried again; the others work.
"""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Collection
from functools import partial
from ssl import SSLContext
from typing import Final

from tulle.actors.holding.client import HolderClient, ListenRefused
from tulle.actors.proxy.listener import Listener
from tulle.actors.proxy.peer_uid import PeerCheck, PeerUid
from tulle.actors.proxy.plane import Plane
from tulle.actors.proxy.spec import ProxySpec

RECONNECT_SECONDS: Final = 1.0
SETTLE_SECONDS: Final = 1.0  # for handshakes under way at a drain
SETTLE_POLL_SECONDS: Final = 0.02

log = logging.getLogger(__name__)


class Doors:
    """All listeners of one proxy. `context()` gives the inbound TLS context of the moment."""

    def __init__(
        self,
        spec: ProxySpec,
        plane: Plane,
        context: Callable[[], SSLContext],
        on_command: Callable[[str], Awaitable[None]],
        on_lost: Callable[[], None],
        on_problem: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_problem` hears of problems that come or go while a door is open."""
        self.problems: dict[str, str] = {}
        self._spec = spec
        self._plane = plane
        self._context = context
        self._on_command = on_command
        self._on_lost = on_lost
        self._on_problem = on_problem
        self._peer_uid = PeerUid()
        self._holder: HolderClient | None = None
        self._opening = asyncio.Lock()  # two who want one door at once open it once
        self._open: dict[str, tuple[Listener, str]] = {}

    @property
    def listening(self) -> tuple[str, ...]:
        """`outbound 127.0.0.1:4000`, ... for the status."""
        return tuple(f"{name} {address}" for name, (_, address) in sorted(self._open.items()))

    def are_open(self, names: Collection[str]) -> bool:
        """Whether all of them are open."""
        return self._open.keys() >= set(names)

    async def connect(self) -> None:
        """Returns when the holder knows this proxy; tried again until then."""
        while True:
            try:
                self._holder = await HolderClient.connect(
                    self._spec.holder, self._spec.id, self._spec.pool, self._on_command, self._lost
                )
            except (OSError, TimeoutError) as error:
                log.warning("no holder: path=%s error=%s", self._spec.holder, error)
                await asyncio.sleep(RECONNECT_SECONDS)
            else:
                self.tell("starting")
                return

    async def open(self, name: str) -> None:
        """Opens `name` ("outbound", "inbound:<port>", "gateway:<port>"), unless it is open."""
        async with self._opening:
            if name in self._open or (holder := self._holder) is None:
                return
            try:
                sock = await holder.listen(name)
            except (ListenRefused, ConnectionError, TimeoutError) as error:
                self.problems[name] = f"{name}: {error}"
                log.warning("not listening: %s", self.problems[name])
                return
            self.problems.pop(name, None)
            self._start(name, sock, holder.uid)

    def _start(self, name: str, sock: socket.socket, uid: int) -> None:
        address, port = sock.getsockname()[:2]
        # For the apps of who called `tulle run`, and nobody else.
        check = PeerCheck(uid, self._peer_uid, partial(self._tell_problem, name))
        listener = listener_of(self._plane, name, sock, self._context, check)
        listener.start()
        self._open[name] = (listener, f"{address}:{port}")

    async def reopen(self) -> None:
        """With a new holder: the same doors on its sockets, then no more on the old ones."""
        old, self._open = self._open, {}
        for name in old:
            await self.open(name)
        for name, (listener, address) in old.items():
            if name in self._open:
                listener.close()
            else:
                self._open[name] = (listener, address)

    def tell(self, state: str, detail: str = "") -> None:
        """Tells the holder this proxy's state."""
        if self._holder is not None:
            self._holder.tell(state, detail)

    async def retire(self) -> None:
        """Returns when no new connection comes any more and those that came are taken."""
        if self._holder is not None:
            try:
                await self._holder.retire()
            except (ConnectionError, TimeoutError, ListenRefused) as error:
                log.warning("not retired by the holder: error=%s", error)
        for listener, _ in self._open.values():
            listener.stop_accepting()
        await self._settle()

    async def turn_away(self, kind: str) -> None:
        """Serves no more connections at doors of `kind`: who comes is closed at once."""
        for name, (listener, _) in self._open.items():
            if name.startswith(kind):
                listener.turn_away()
        await self._settle()

    async def _settle(self) -> None:
        """Returns when all that was accepted is the plane's, which only then can drain it."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + SETTLE_SECONDS
        while any(listener.undecided for listener, _ in self._open.values()):
            if loop.time() > deadline:
                return
            await asyncio.sleep(SETTLE_POLL_SECONDS)

    def close(self) -> None:
        """Closes this process's copies; the holder keeps its own for a next proxy."""
        for listener, _ in self._open.values():
            listener.close()
        self._open.clear()
        self._peer_uid.close()
        if self._holder is not None:
            self._holder.close()
            self._holder = None

    def _tell_problem(self, name: str, problem: str) -> None:
        if problem:
            self.problems[name] = f"{name}: {problem}"
        else:
            self.problems.pop(name, None)
        self._on_problem()

    def _lost(self) -> None:
        self._holder = None
        self._on_lost()


def listener_of(
    plane: Plane,
    name: str,
    sock: socket.socket,
    context: Callable[[], SSLContext],
    admits: Callable[[socket.socket], bool] = lambda connection: True,
) -> Listener:
    """The listener of a door; `context` as of `Doors`, `admits` of an outbound one."""
    kind, _, number = name.partition(":")
    if kind == "inbound":
        port = int(number)
        factory, mode = partial(plane.inbound_protocol, port), partial(plane.inbound_mode, port)
        return Listener(sock, "inbound", factory, lambda _: context(), mode=mode)
    if kind == "gateway":
        port = int(number)
        factory, mode = partial(plane.gateway_protocol, port), partial(plane.gateway_mode, port)
        context_of = partial(plane.gateway_context, port)
        return Listener(sock, "gateway", factory, context_of, mode=mode)
    return Listener(sock, "outbound", plane.outbound_protocol, admits=admits)
