"""One HTTP/1.1 connection of the demo's traffic: a GET at a time, as cheap as can be.

Written on a bare protocol so that the generator takes next to nothing of the CPU that it
measures. It never retries; `ConnectionLost.before_answer` tells deploy.demo.traffic when it may.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

import httptools

BODY_LIMIT = 1 << 20


class ConnectionLost(Exception):
    """The connection ended before the answer did."""

    def __init__(self, why: str, *, before_answer: bool) -> None:
        super().__init__(why)
        self.before_answer = before_answer


@dataclass(slots=True)
class Answer:
    """An HTTP answer; header names are lower case."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


class Connection(asyncio.Protocol):
    """A client's connection. `usable` says whether another request may follow."""

    def __init__(self) -> None:
        self.usable = True
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[Answer] | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._answer = Answer()
        self._seen = False

    @classmethod
    async def open(cls, host: str, port: int) -> "Connection":
        """Connects. Raises OSError."""
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(cls, host, port)
        return connection

    async def get(self, path: str, host: str, headers: Mapping[str, str], *, last: bool) -> Answer:
        """GETs `path`; `last` asks for the connection's end. Raises `ConnectionLost`."""
        if not self.usable or self._transport is None:
            raise ConnectionLost("closed while idle", before_answer=True)
        self._waiter = asyncio.get_running_loop().create_future()
        self._answer, self._seen = Answer(), False
        fields = {"host": host, "accept": "application/json", **headers}
        fields |= {"connection": "close"} if last else {}
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        self._transport.write(f"GET {path} HTTP/1.1\r\n{lines}\r\n".encode())
        try:
            return await self._waiter
        finally:
            self._waiter = None
            self.usable = self.usable and not last

    def close(self) -> None:
        """Ends the connection."""
        self.usable = False
        if self._transport is not None:
            self._transport.close()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._seen = True
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._lose(f"not HTTP: {error}")
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.usable = False
        self._lose(f"reset: {exc}" if exc else "closed")

    def _lose(self, why: str) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(ConnectionLost(why, before_answer=not self._seen))

    # httptools

    def on_header(self, name: bytes, value: bytes) -> None:
        self._answer.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        self._answer.body += body
        if len(self._answer.body) > BODY_LIMIT:
            self._lose("the body is over 1 MiB")
            self.close()

    def on_message_complete(self) -> None:
        self._answer.status = self._parser.get_status_code()
        self.usable = self.usable and self._parser.should_keep_alive()
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(self._answer)
