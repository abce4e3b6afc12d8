"""Holds the listening sockets of proxies, so that they outlive them, and notices their deaths.

Counterpart: actors.holding.client in the proxy; messages in docs/contracts.md, "holding". Owners:
`tulle run` for its sidecar, the watcher for gateways and the collector's port.
"""

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field

from tulle.actors.holding.group import PortError
from tulle.actors.holding.sockets import Bind, HeldSockets, Patience
from tulle.actors.holding.wire import (
    Channel,
    Message,
    Value,
    WireError,
    check_path,
    number,
    peer_uid,
    text,
)

MAX_CONNECTIONS = 256
HELLO_SECONDS = 5.0
STATES = ("starting", "ready", "draining")

log = logging.getLogger(__name__)


def _ignore(*_: str) -> None:
    """The default of the events."""


@dataclass(slots=True, eq=False)
class _Connection:
    """A process that connected; a proxy once it said hello."""

    channel: Channel | None = None
    proxy: str = ""
    pool: str = ""
    state: str = ""
    detail: str = ""
    commands: dict[int, asyncio.Future[None]] = field(default_factory=dict)
    greeting: asyncio.TimerHandle | None = None

    def send(self, message: Message, passing: socket.socket | None = None) -> None:
        if self.channel is not None:
            self.channel.send(message, passing)

    def end(self) -> None:
        """Closes; commands under way fail with ConnectionError."""
        if self.channel is not None:
            self.channel.close()
        if self.greeting is not None:
            self.greeting.cancel()
        for answered in self.commands.values():
            if not answered.done():
                answered.set_exception(ConnectionError(f"proxy {self.proxy}: gone"))
        self.commands.clear()


class Holder:
    """Serves `path`, a unix socket in a folder of mode 0700. All methods belong to one loop.

    `bind(proxy, pool, name)` says where a socket is opened, port 0 for a free one. Events:
    `on_hello(proxy, pool)`, `on_state(proxy, state, detail)`, `on_lost(proxy)`.
    `expected()`: whether all proxies are being started again, so that connections wait longer.
    """

    def __init__(
        self,
        path: str,
        bind: Bind,
        *,
        on_hello: Callable[[str, str], None] = _ignore,
        on_state: Callable[[str, str, str], None] = _ignore,
        on_lost: Callable[[str], None] = _ignore,
        patience: Patience | None = None,
        expected: Callable[[], bool] = lambda: False,
    ) -> None:
        check_path(path)
        self._path = path
        self._sockets = HeldSockets(bind, patience or Patience(), expected)
        self._on_hello, self._on_state, self._on_lost = on_hello, on_state, on_lost
        self._server: socket.socket | None = None
        self._connections: set[_Connection] = set()
        self._proxies: dict[str, _Connection] = {}
        self._waiting: set[tuple[str, str, asyncio.Future[str]]] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._last_command = 0

    async def start(self) -> None:
        """Listens on `path`; what is there of a dead holder is replaced. Raises OSError."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path)
        self._server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._server.setblocking(False)
        self._server.bind(self._path)
        os.chmod(self._path, 0o600)
        self._server.listen(MAX_CONNECTIONS)
        asyncio.get_running_loop().add_reader(self._server.fileno(), self._accept)

    async def close(self) -> None:
        """Closes all connections and sockets, and removes `path`. No event follows."""
        if self._server is not None:
            asyncio.get_running_loop().remove_reader(self._server.fileno())
            self._server.close()
            self._server = None
            os.unlink(self._path)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for connection in self._connections:
            connection.end()
        self._connections.clear()
        self._proxies.clear()
        self._sockets.close()

    def reserve(self, name: str) -> tuple[str, int]:
        """Opens a socket for the first proxy that will ask for `name`. Returns (address, port).

        `bind` is asked with an empty proxy and pool. Raises PortError.
        """
        return self._sockets.reserve(name)

    def addresses(self, owner: str) -> dict[str, tuple[str, int]]:
        """name -> (address, port) of what is open for a pool, or for a proxy without one."""
        return self._sockets.addresses(owner)

    def state(self, proxy: str) -> tuple[str, str] | None:
        """(state, detail) as the proxy last said; None: it is not here, or said none yet."""
        connection = self._proxies.get(proxy)
        return (connection.state, connection.detail) if connection and connection.state else None

    async def wait_state(
        self,
        proxy: str,
        state: str,
        timeout: float,  # noqa: ASYNC109 - its error says more
    ) -> str:
        """Waits until the proxy says `state`, at once if it did; returns the detail.

        Raises TimeoutError, with what it said last.
        """
        if (now := self.state(proxy)) is not None and now[0] == state:
            return now[1]
        reached: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        waiting = (proxy, state, reached)
        self._waiting.add(waiting)
        try:
            async with asyncio.timeout(timeout):
                return await reached
        except TimeoutError:
            now = self.state(proxy)
            said = f"it says {now[0]!r}: {now[1] or 'no detail'}" if now else "it is not there"
            raise TimeoutError(f"proxy {proxy}: not {state} within {timeout:g} s; {said}") from None
        finally:
            self._waiting.discard(waiting)

    async def command(
        self,
        proxy: str,
        name: str,
        timeout: float,  # noqa: ASYNC109 - its error says more
    ) -> None:
        """Has the proxy do `drain_inbound` or `stop`; returns when it says done.

        Raises ConnectionError when it is not there or goes meanwhile, and TimeoutError.
        """
        connection = self._proxies.get(proxy)
        if connection is None:
            raise ConnectionError(f"proxy {proxy}: not connected, so no {name}")
        self._last_command += 1
        command = self._last_command
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        connection.commands[command] = done
        connection.send({"op": "command", "id": command, "command": name})
        try:
            async with asyncio.timeout(timeout):
                await done
        except TimeoutError:
            raise TimeoutError(f"proxy {proxy}: {name} not done within {timeout:g} s") from None
        finally:
            connection.commands.pop(command, None)

    def _accept(self) -> None:
        assert self._server is not None
        try:
            sock, _ = self._server.accept()
        except OSError as e:
            log.warning("holder %s: accept: %s", self._path, e)
            return
        if (uid := peer_uid(sock)) != os.getuid() or len(self._connections) >= MAX_CONNECTIONS:
            log.warning("holder %s: a connection of uid %d is refused", self._path, uid)
            sock.close()
            return
        connection = _Connection()
        connection.channel = Channel(
            sock,
            lambda message: self._received(connection, message),
            lambda reason: self._closed(connection, reason),
        )
        connection.greeting = asyncio.get_running_loop().call_later(
            HELLO_SECONDS, self._closed, connection, "no hello"
        )
        self._connections.add(connection)

    def _closed(self, connection: _Connection, reason: str) -> None:
        connection.end()
        self._connections.discard(connection)
        proxy = connection.proxy
        if self._proxies.get(proxy) is not connection:
            return
        log.info("proxy %s: lost: %s", proxy, reason)
        del self._proxies[proxy]
        self._sockets.lost(proxy)
        if connection.state == "draining":
            # It was on its way out: nobody comes back for its sockets.
            self._spawn(self._sockets.retire(proxy))
        self._on_lost(proxy)

    def _received(self, connection: _Connection, message: dict[str, Value]) -> None:
        op = text(message, "op")
        if op == "hello":
            self._hello(connection, text(message, "proxy"), text(message, "pool"))
        elif not connection.proxy:
            raise WireError(f"{op} before hello")
        elif op == "listen":
            self._listen(connection, number(message, "id"), text(message, "name"))
        elif op == "state":
            self._state(connection, text(message, "state"), text(message, "detail"))
        elif op == "retire":
            self._spawn(self._retire(connection, number(message, "id")))
        elif op == "done":
            answered = connection.commands.get(number(message, "id"))
            if answered is not None and not answered.done():
                answered.set_result(None)
        else:
            raise WireError(f"unknown op {op!r}")

    def _hello(self, connection: _Connection, proxy: str, pool: str) -> None:
        if connection.proxy or not proxy:
            raise WireError("a second hello, or one without a proxy")
        if connection.greeting is not None:
            connection.greeting.cancel()
        if (before := self._proxies.get(proxy)) is not None:
            # The newest process of an id is the proxy; the one before sees its connection end.
            before.end()
            self._connections.discard(before)
            self._sockets.lost(proxy)
        connection.proxy, connection.pool = proxy, pool
        self._proxies[proxy] = connection
        self._on_hello(proxy, pool)

    def _listen(self, connection: _Connection, request: int, name: str) -> None:
        try:
            sock, address, port = self._sockets.listen(connection.proxy, connection.pool, name)
        except PortError as e:
            connection.send({"id": request, "ok": False, "error": str(e)})
            return
        connection.send({"id": request, "ok": True, "address": address, "port": port}, sock)

    def _state(self, connection: _Connection, state: str, detail: str) -> None:
        if state not in STATES:
            raise WireError(f"state {state!r}: one of {', '.join(STATES)} is needed")
        connection.state, connection.detail = state, detail
        for proxy, awaited, reached in self._waiting:
            if (proxy, awaited) == (connection.proxy, state) and not reached.done():
                reached.set_result(detail)
        self._on_state(connection.proxy, state, detail)

    async def _retire(self, connection: _Connection, request: int) -> None:
        await self._sockets.retire(connection.proxy)
        connection.send({"id": request, "ok": True})

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
