"""Requests at a steady rate, whatever becomes of the ones before: an open loop over HTTP/1.1.

A request leaves when it is due, on a connection that is free or on a new one, so that a server that
stalls meets all that a world of clients would send meanwhile. Each request is judged: `expect` is
asked as it leaves and gives the function that says what is wrong with its answer.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

ANSWER_SECONDS: Final = 15.0
_END: Final = b"\r\n\r\n"
_LENGTH: Final = b"\r\ncontent-length:"


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer; `head` is all before the empty line, in small letters."""

    status: int
    head: bytes
    body: bytes

    def header(self, name: str) -> str:
        """The first header of that name, in small letters; empty when there is none."""
        _, found, rest = self.head.partition(f"\r\n{name}:".encode())
        return rest.partition(b"\r\n")[0].strip().decode("latin-1") if found else ""


Judge = Callable[[Answer], str]
"""What is wrong with an answer; empty: nothing."""


def served(answer: Answer) -> str:
    """A 200 is what was asked for."""
    if answer.status == 200:
        return ""
    return f"status {answer.status} {answer.header('x-tulle-reason')}".strip()


@dataclass(slots=True)
class Seen:
    """What came of the requests so far: `seconds` of each, from when it was due to its answer.

    `failures`: how often each thing was wrong.
    """

    sent: int = 0
    seconds: list[float] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)

    @property
    def failed(self) -> int:
        """How many requests were not answered as they should be."""
        return self.failures.total()


class Steady:
    """GETs of `path` for `host` from one port of loopback, `per_second` of them."""

    def __init__(
        self,
        port: int,
        host: str,
        path: str,
        per_second: float,
        expect: Callable[[], Judge] = lambda: served,
    ) -> None:
        self.seen = Seen()
        self.idle: list[_Connection] = []
        self._port = port
        self._request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
        self._pause = 1 / per_second
        self._expect = expect
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Sends until it is cancelled."""
        due = self._loop.time()
        while True:
            await asyncio.sleep(due - self._loop.time())
            task = self._loop.create_task(self._one(due))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            due += self._pause

    async def finish(self) -> None:
        """Returns when all that was sent is answered or has failed; closes the connections."""
        await asyncio.gather(*self._tasks)
        for connection in self.idle:
            connection.close()

    async def _one(self, due: float) -> None:
        self.seen.sent += 1
        judge = self._expect()
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                connection = self.idle.pop() if self.idle else await self._connect()
                answer = await connection.ask(self._request)
        except TimeoutError:
            self.seen.failures[f"no answer within {ANSWER_SECONDS:.0f} s"] += 1
            return
        except (OSError, ValueError) as error:
            self.seen.failures[f"{type(error).__name__}: {error}"] += 1
            return
        self.seen.seconds.append(self._loop.time() - due)
        if wrong := judge(answer):
            self.seen.failures[wrong] += 1
        if answer.header("connection") == "close":
            connection.close()
        elif not connection.lost:
            self.idle.append(connection)

    async def _connect(self) -> "_Connection":
        _, connection = await self._loop.create_connection(
            lambda: _Connection(self), "127.0.0.1", self._port
        )
        return connection


class _Connection(asyncio.Protocol):
    """One request at a time, one answer with a content-length to each."""

    def __init__(self, owner: Steady) -> None:
        self.lost = False
        self._owner = owner
        self._transport: asyncio.Transport | None = None
        self._waiting: asyncio.Future[Answer] | None = None
        self._data = b""

    async def ask(self, request: bytes) -> Answer:
        """The answer. Raises `ConnectionError`, ValueError on what is not understood."""
        assert self._transport is not None
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        try:
            return await self._waiting
        except BaseException:
            self.close()
            raise
        finally:
            self._waiting, self._data = None, b""

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._data += data
        waiting = self._waiting
        if waiting is None or waiting.done():
            return
        try:
            answer = parse(self._data)
        except ValueError as error:
            waiting.set_exception(error)
            return
        if answer is not None:
            waiting.set_result(answer)

    def connection_lost(self, error: Exception | None) -> None:
        self.lost = True
        if self in self._owner.idle:
            self._owner.idle.remove(self)
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(error or ConnectionResetError("closed without an answer"))


def parse(data: bytes) -> Answer | None:
    """The answer that `data` is; None: not all of it is there. Raises ValueError on another."""
    head, end, body = data.partition(_END)
    if not end:
        return None
    head = head.lower()
    _, found, rest = head.partition(_LENGTH)
    if not found:
        raise ValueError("an answer without a content-length")
    length = int(rest.partition(b"\r\n")[0])
    if len(body) < length:
        return None
    if len(body) > length:
        raise ValueError("more than one answer to a request")
    return Answer(int(head.split(b" ", 2)[1]), head, body)


@asynccontextmanager
async def steady(load: Steady) -> AsyncIterator[Seen]:
    """Sends `load` until the block ends; then all answers are there."""
    sending = asyncio.create_task(load.run())
    try:
        yield load.seen
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        await load.finish()
