"""A listening socket whose proxy is away: after a while the holder answers in its place.

Counterpart: actors.holding.sockets, which makes an `Absence` when a proxy goes and ends it when
one is back.
"""

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass

from tulle.policies.reasons import PROXY_DOWN, REASON_HEADER

MAX_ANSWERING = 128
ANSWER_SECONDS = 2.0
LOOK_SECONDS = 1.0
_READ = 65_536


def _proxy_down() -> bytes:
    body = f"{PROXY_DOWN.sentence}\n".encode()
    head = (
        f"HTTP/1.1 {PROXY_DOWN.status} Service Unavailable\r\n"
        f"{REASON_HEADER}: {PROXY_DOWN.name}\r\n"
        "content-type: text/plain\r\n"
        f"content-length: {len(body)}\r\n"
        "connection: close\r\n\r\n"
    )
    return head.encode() + body


_ANSWER = _proxy_down()


@dataclass(frozen=True, slots=True)
class Waiting:
    """How long connections wait for a proxy: `patience` seconds.

    While it is `expected`, since all proxies are being started again, they wait on, and after that
    `queue` seconds (all of them start at once); `most` seconds at most.
    """

    patience: float
    expected: Callable[[], bool] = lambda: False
    queue: float = 0.0
    most: float = 0.0


class Absence:
    """From now until `end()`: connections wait in the backlog as long as `waiting` says, then

    each is answered 503 `proxy_down` (`speaks_http`) or closed without a byte (inbound: it is
    TLS, and the holder has no certificate).
    """

    def __init__(self, sock: socket.socket, speaks_http: bool, waiting: Waiting) -> None:
        self._sock = sock
        self._speaks_http = speaks_http
        self._waiting = waiting
        self._loop = asyncio.get_running_loop()
        self._answering: set[asyncio.Task[None]] = set()
        self._ended = False
        now = self._loop.time()
        self._last = now + waiting.most
        self._deadline = now + waiting.patience
        self._timer = self._loop.call_later(0, self._wait)

    def end(self) -> None:
        """The proxy is back, or the socket goes. Answers under way are finished."""
        self._ended = True
        self._timer.cancel()
        self._loop.remove_reader(self._sock.fileno())

    def _wait(self) -> None:
        now = self._loop.time()
        if now < self._last and self._waiting.expected():
            self._deadline = min(self._last, now + self._waiting.queue)
        left = self._deadline - now
        if left > 0:
            self._timer = self._loop.call_later(min(left, LOOK_SECONDS), self._wait)
        else:
            self._stand_in()

    def _stand_in(self) -> None:
        if not self._ended:
            self._loop.add_reader(self._sock.fileno(), self._accept)

    def _accept(self) -> None:
        try:
            connection, _ = self._sock.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError:
            # Most likely out of descriptors; without the pause the loop would spin.
            self._pause(1.0)
            return
        if not self._speaks_http:
            connection.close()
            return
        connection.setblocking(False)
        task = self._loop.create_task(_answer(connection))
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)
        if len(self._answering) >= MAX_ANSWERING:
            self._pause(0.05)

    def _pause(self, seconds: float) -> None:
        self._loop.remove_reader(self._sock.fileno())
        self._timer = self._loop.call_later(seconds, self._stand_in)


async def _answer(connection: socket.socket) -> None:
    """Waits for the request, answers, and reads on until the client closes.

    Closed with unread data, the kernel would send a reset and the client lose the answer.
    """
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            if await loop.sock_recv(connection, _READ):
                await loop.sock_sendall(connection, _ANSWER)
            connection.shutdown(socket.SHUT_WR)
            while await loop.sock_recv(connection, _READ):
                pass
    except (OSError, TimeoutError):
        pass  # a client that goes or stalls has what it can have
    finally:
        connection.close()
