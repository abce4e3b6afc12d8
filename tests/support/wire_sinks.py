"""Sinks that write down what the wire's readers tell them."""

from collections.abc import Iterable
from itertools import pairwise

from tulle.actors.proxy.wire.request import RequestReader
from tulle.actors.proxy.wire.request_head import RequestHead
from tulle.actors.proxy.wire.response import ResponseReader
from tulle.actors.proxy.wire.response_head import ResponseHead
from tulle.policies.reasons import Reason


class Requests:
    """A sink of requests: `heads`, `bodies` (None while one goes on), `refused`."""

    def __init__(self) -> None:
        self.reader = RequestReader(self)
        self.heads: list[RequestHead] = []
        self.connects: list[RequestHead] = []
        self.bodies: list[bytes] = []
        self.ended = 0
        self.refused: Reason | None = None

    def feed(self, *pieces: bytes) -> "Requests":
        """Feeds the pieces, each complete request at once answered."""
        for piece in pieces:
            self.reader.feed(piece)
            while self.ended > 0 and self.ended == len(self.heads) and self.reader.held:
                self.reader.proceed()
            if self.ended == len(self.heads):
                self.reader.proceed()
        return self

    def on_request(self, head: RequestHead) -> None:
        self.heads.append(head)
        self.bodies.append(b"")
        if not head.length:
            self.ended += 1

    def on_connect(self, head: RequestHead) -> None:
        self.connects.append(head)

    def on_data(self, data: bytes) -> None:
        self.bodies[-1] += data

    def on_end(self) -> None:
        self.ended += 1

    def on_refused(self, reason: Reason, detail: str) -> None:
        self.refused = reason


class Responses:
    """A sink of responses; `flaw` is what was wrong."""

    def __init__(self, method: bytes = b"GET") -> None:
        self.reader = ResponseReader()
        self.reader.expect(self, method)
        self.informational: list[int] = []
        self.head: ResponseHead | None = None
        self.body = b""
        self.ended = False
        self.flaw: str | None = None

    def feed(self, *pieces: bytes) -> "Responses":
        for piece in pieces:
            self.reader.feed(piece)
        return self

    def on_informational(self, head: ResponseHead) -> None:
        self.informational.append(head.status)

    def on_response(self, head: ResponseHead, body: bytes, ended: bool) -> None:
        self.head = head
        self.body += body
        self.ended = ended

    def on_data(self, data: bytes) -> None:
        self.body += data

    def on_end(self) -> None:
        self.ended = True

    def on_flaw(self, detail: str) -> None:
        self.flaw = detail


def cut(data: bytes, at: Iterable[int]) -> list[bytes]:
    """`data` in pieces, cut at the offsets `at` (those outside of it are ignored)."""
    offsets = sorted({0, len(data), *(offset for offset in at if 0 < offset < len(data))})
    return [data[a:b] for a, b in pairwise(offsets)]
