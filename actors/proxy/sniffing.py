"""Looks at the first bytes of a connection, unread, until they say what it is (hello.py).

Counterpart: actors.proxy.listener. SO_RCVLOWAT makes the kernel wake us only when there is more
than was seen: without it one byte that is held back would wake the loop without end.
"""

import asyncio
import socket
from collections.abc import Callable

from tulle.actors.proxy.hello import HEAD_BYTES, HELLO_BYTES, First, read_first


class Sniffing:
    """Connections that have not shown what they are: at most `limit`, each for `seconds`.

    `on_first` gets those that have, with what they are; the others are closed without a byte.
    `with_name`: TLS is told once the whole hello has come, with the name of the server.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        limit: int,
        seconds: float,
        on_first: Callable[[socket.socket, First], None],
        with_name: bool = False,
    ) -> None:
        self._loop = loop
        self._limit = limit
        self._seconds = seconds
        self._on_first = on_first
        self._with_name = with_name
        self._deadlines: dict[socket.socket, float] = {}  # in the order of arrival
        self._seen: dict[socket.socket, int] = {}
        self._sweep: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._deadlines)

    def add(self, connection: socket.socket) -> None:
        """Takes over a non-blocking connection. With too many, the oldest is closed."""
        head = self._peek(connection)
        if not self._decided(connection, head):
            if len(self) >= self._limit:
                self._refuse(next(iter(self._deadlines)))
            self._deadlines[connection] = self._loop.time() + self._seconds
            self._wait(connection, len(head or b""))
            self._loop.add_reader(connection.fileno(), self._more, connection)
            if self._sweep is None:
                self._sweep = self._loop.call_later(self._seconds, self._close_late)

    def close(self) -> None:
        """Closes them all."""
        if self._sweep is not None:
            self._sweep.cancel()
        for connection in list(self._deadlines):
            self._refuse(connection)

    def _more(self, connection: socket.socket) -> None:
        head = self._peek(connection)
        if head is not None and len(head) <= self._seen[connection]:
            # Woken without news: the peer has closed, or the kernel is short of memory.
            self._refuse(connection)
        elif not self._decided(connection, head):
            self._wait(connection, len(head or b""))

    def _decided(self, connection: socket.socket, head: bytes | None) -> bool:
        """Acts if it can be told; `head` None: nothing there yet."""
        first = None if head is None else read_first(head, self._with_name)
        if first is None and head != b"":
            return False
        if first is None:
            self._refuse(connection)
        else:
            self._forget(connection)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
            self._on_first(connection, first)
        return True

    def _wait(self, connection: socket.socket, seen: int) -> None:
        self._seen[connection] = seen
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, seen + 1)

    def _refuse(self, connection: socket.socket) -> None:
        self._forget(connection)
        connection.close()

    def _forget(self, connection: socket.socket) -> None:
        if self._deadlines.pop(connection, None) is not None:
            del self._seen[connection]
            self._loop.remove_reader(connection.fileno())

    def _close_late(self) -> None:
        self._sweep = None
        now = self._loop.time()
        for connection, deadline in list(self._deadlines.items()):
            if deadline > now:
                self._sweep = self._loop.call_at(deadline, self._close_late)
                return
            self._refuse(connection)

    def _peek(self, connection: socket.socket) -> bytes | None:
        """What has come, unread; empty: the peer closed or reset; None: nothing yet."""
        try:
            return connection.recv(HELLO_BYTES if self._with_name else HEAD_BYTES, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            return None
        except OSError:
            return b""
