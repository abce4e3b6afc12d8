"""A proxy's connection to its holder: listening sockets, its state, commands, each other's death.

Counterpart: actors.holding.holder; messages in docs/contracts.md, "holding".
"""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable
from typing import Self

from tulle.actors.holding.wire import Channel, Value, WireError, check_path, number, peer_uid, text

MAX_COMMANDS = 8
RETIRE_SECONDS = 30.0  # other members of the pool may be leaving at the same time

log = logging.getLogger(__name__)


class ListenRefused(Exception):
    """The holder can't open the socket; its sentence says which port and why."""


class HolderClient:
    """Made by `connect`. All methods belong to one loop."""

    def __init__(
        self,
        sock: socket.socket,
        on_command: Callable[[str], Awaitable[None]],
        on_lost: Callable[[], None],
        timeout: float,
    ) -> None:
        self.uid = peer_uid(sock)
        """The holder's user."""
        self._on_command = on_command
        self._on_lost = on_lost
        self._timeout = timeout
        self._pending: dict[int, asyncio.Future[socket.socket | None]] = {}
        self._last = 0
        self._commands: set[asyncio.Task[None]] = set()
        self._channel = Channel(sock, self._received, self._closed)

    @classmethod
    async def connect(
        cls,
        path: str,
        proxy: str,
        pool: str,
        on_command: Callable[[str], Awaitable[None]],
        on_lost: Callable[[], None],
        timeout: float = 10.0,  # noqa: ASYNC109 - it is kept, for each question
    ) -> Self:
        """Connects to the holder at `path` and says which proxy this is.

        `on_command(name)` is awaited for each command, which is done when it returns. `on_lost`
        is called once when the holder is gone, not after `close`. `timeout` (seconds) holds for
        this and for each `listen`. Raises OSError and TimeoutError.
        """
        check_path(path)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.setblocking(False)
        try:
            loop = asyncio.get_running_loop()
            async with asyncio.timeout(timeout):
                await loop.sock_connect(sock, path)
        except BaseException:
            sock.close()
            raise
        client = cls(sock, on_command, on_lost, timeout)
        client._channel.send({"op": "hello", "proxy": proxy, "pool": pool})
        return client

    async def listen(self, name: str) -> socket.socket:
        """The listening socket `name` ("outbound", "inbound:<port>", ...), non-blocking.

        Connections come to it from now on: accept soon. Raises ListenRefused, ConnectionError
        and TimeoutError.
        """
        sock = await self._ask({"op": "listen", "name": name}, self._timeout)
        if sock is None:
            raise ListenRefused(f"{name}: the holder's answer carried no socket")
        return sock

    def tell(self, state: str, detail: str = "") -> None:
        """Says "starting", "ready" or "draining"."""
        self._channel.send({"op": "state", "state": state, "detail": detail})

    async def retire(self) -> None:
        """Returns when no connection comes any more and the queues are empty; accept till then.

        Close the own copies of the sockets after it. Raises ConnectionError and TimeoutError.
        """
        await self._ask({"op": "retire"}, RETIRE_SECONDS)

    def close(self) -> None:
        """Ends the connection. Without `retire` the holder keeps the sockets for a next one."""
        self._channel.close()
        self._fail_pending("closed")
        for command in self._commands:
            command.cancel()

    async def _ask(self, question: dict[str, Value], seconds: float) -> socket.socket | None:
        if self._channel.closed:
            raise ConnectionError("the connection to the holder is closed")
        self._last += 1
        request = self._last
        answer: asyncio.Future[socket.socket | None] = asyncio.get_running_loop().create_future()
        self._pending[request] = answer
        self._channel.send({**question, "id": request})
        try:
            async with asyncio.timeout(seconds):
                return await answer
        except TimeoutError:
            op = question["op"]
            raise TimeoutError(f"the holder did not answer {op} within {seconds:g} s") from None
        finally:
            self._pending.pop(request, None)

    def _received(self, message: dict[str, Value]) -> None:
        if message.get("op") == "command":
            self._command(number(message, "id"), text(message, "command"))
            return
        answer = self._pending.get(number(message, "id"))
        # Taken even if nobody waits any more: descriptors come in the order of their answers.
        fd = self._channel.take_fd() if "port" in message else None
        sock = None if fd is None else socket.socket(fileno=fd)
        if answer is None or answer.done():
            if sock is not None:
                sock.close()
        elif message.get("ok") is True:
            if sock is not None:
                sock.setblocking(False)
            answer.set_result(sock)
        else:
            answer.set_exception(ListenRefused(text(message, "error")))

    def _command(self, command: int, name: str) -> None:
        if len(self._commands) >= MAX_COMMANDS:
            raise WireError(f"{MAX_COMMANDS} commands are under way already")
        task = asyncio.get_running_loop().create_task(self._perform(command, name))
        self._commands.add(task)
        task.add_done_callback(self._commands.discard)

    async def _perform(self, command: int, name: str) -> None:
        try:
            await self._on_command(name)
        except Exception:
            # Without `done` the holder's wait ends by its time-out.
            log.exception("command %s failed", name)
            return
        self._channel.send({"op": "done", "id": command})

    def _closed(self, reason: str) -> None:
        self._fail_pending(reason)
        self._on_lost()

    def _fail_pending(self, reason: str) -> None:
        for answer in self._pending.values():
            if not answer.done():
                answer.set_exception(ConnectionError(f"the holder is gone: {reason}"))
