"""Reads responses off an upstream's bytes: heads through llhttp, bodies by `wire.body`."""

from typing import Final, Protocol

import httptools

from tulle.actors.proxy.wire.body import CHUNKED, ChunkReader
from tulle.actors.proxy.wire.compose import response_head
from tulle.actors.proxy.wire.head import HEADERS, HeadReader, Refused, Sorted
from tulle.actors.proxy.wire.known import KnownLines, Memo
from tulle.actors.proxy.wire.response_head import ResponseHead, is_dropped, is_known, read_head
from tulle.policies.reasons import UPSTREAM_PROTOCOL

_known: Final = KnownLines()
_heads: Final = Memo[ResponseHead]()  # of final responses to anything but HEAD
_LINE: Final = b"\r\n"
_LINES_BYTES: Final = 57_344  # longer ones are read by llhttp, with the limit for all of a head

# Phases. Not an enum: its members cost a search per look.
_IDLE: Final = 0  # no request is unanswered: any byte is a flaw
_HEAD: Final = 1
_FIXED: Final = 2
_CHUNKED: Final = 3
_UNTIL_CLOSE: Final = 4
_DEAD: Final = 5


class ResponseSink(Protocol):
    """What a reader tells: `on_informational`..., `on_response`, `on_data`..., `on_end`.

    `on_response` brings the part of the body that came with the head; `ended`: it is all, and
    `on_end` is not called. `on_flaw` ends it all.
    """

    def on_informational(self, head: ResponseHead) -> None: ...
    def on_response(self, head: ResponseHead, body: bytes, ended: bool) -> None: ...
    def on_data(self, data: bytes) -> None: ...
    def on_end(self) -> None: ...
    def on_flaw(self, detail: str) -> None: ...


class ResponseReader(HeadReader[httptools.HttpResponseParser]):
    """`expect` a response, feed it the upstream's bytes, `close` it at their end."""

    __slots__ = ("_chunks", "_left", "_no_body", "_phase", "_response", "_sink")

    _sink: ResponseSink  # set by `expect`; nothing is told before
    _response: ResponseHead  # the last one that was read

    def __init__(self) -> None:
        super().__init__(httptools.HttpResponseParser, _known)
        self._phase = _IDLE
        self._no_body = False
        self._left = 0
        self._chunks: ChunkReader | None = None

    def is_idle(self) -> bool:
        """The last response is complete, and nothing came after it."""
        return self._phase == _IDLE

    def expect(self, sink: ResponseSink, method: bytes) -> None:
        """A request with `method` is on its way; `sink` hears of its response."""
        self._sink = sink
        self._no_body = method == b"HEAD"
        self._phase = _HEAD

    def feed(self, data: bytes) -> None:
        """Takes what the upstream sent."""
        try:
            while data:
                phase = self._phase
                if phase == _HEAD:
                    data = self._take_response(data)
                elif phase == _FIXED:
                    data = self._take_fixed(data)
                elif phase == _CHUNKED:
                    data = self._take_chunked(data)
                elif phase == _UNTIL_CLOSE:
                    self._sink.on_data(data)
                    return
                else:  # more than was asked for: the connection is good for nothing now
                    self._phase = _DEAD
                    return
        except Refused as refused:
            self._phase = _DEAD
            self._sink.on_flaw(str(refused))

    def stop(self) -> None:
        """Nothing more of this response is told; the connection is good for nothing now."""
        self._phase = _DEAD

    def close(self) -> bool:
        """The upstream's bytes ended, in order. True: so the response is complete."""
        if self._phase != _UNTIL_CLOSE:
            return False
        self._phase = _DEAD
        self._sink.on_end()
        return True

    def _take_response(self, data: bytes) -> bytes:
        rest = self._take_head(data)
        if rest is None:
            return b""
        head = self._response
        sink, length = self._sink, head.length
        if head.status < 200:
            sink.on_informational(head)
            return rest
        if length == len(rest):  # the usual case: all in one read
            self._phase = _IDLE
            sink.on_response(head, rest, True)
            return b""
        if length == 0:
            self._phase = _DEAD
            sink.on_response(head, b"", True)
            return b""
        if length > 0:
            self._phase = _FIXED
            self._left = length
        elif length == CHUNKED:
            self._phase = _CHUNKED
            self._chunks = ChunkReader()
        else:
            self._phase = _UNTIL_CLOSE
        sink.on_response(head, b"", False)
        return rest

    def _take_fixed(self, data: bytes) -> bytes:
        left = self._left
        if len(data) < left:
            self._left = left - len(data)
            self._sink.on_data(data)
        elif len(data) == left:
            self._phase = _IDLE
            self._sink.on_data(data)
            self._sink.on_end()
        else:
            self._phase = _DEAD
            self._sink.on_data(data[:left])
            self._sink.on_end()
        return b""

    def _take_chunked(self, data: bytes) -> bytes:
        assert self._chunks is not None
        piece, rest = self._chunks.feed(data)
        if rest is not None:
            self._phase = _DEAD if rest else _IDLE
        if piece:
            self._sink.on_data(piece)
        if rest is not None:
            self._sink.on_end()
        return b""

    def _recall(self, head: bytes) -> bool:
        known = None if self._no_body else _heads.found.get(head)
        if known is None:
            return self._recall_lines(head)
        self._response = known
        return True

    def _recall_lines(self, head: bytes) -> bool:
        """Takes a head by its lines."""
        start, *lines = head.split(_LINE)
        if not is_known(start) or len(lines) > HEADERS or len(head) > _LINES_BYTES:
            return False
        found = self._read_lines(lines)
        if found is None:
            return False
        response = read_head(start, found.lines, found.aside, self._no_body)
        self._response = response
        if not self._no_body and response.status >= 200 and not found.news:
            response.joined = response_head(response, b"")[: -len(_LINE)]
            _heads.learn(head, response)
        return True

    def _is_aside(self, name: bytes) -> bool:
        return is_dropped(name)

    def _keep(self, start: bytes, sorted_lines: Sorted) -> None:
        self._response = read_head(start, sorted_lines.lines, sorted_lines.aside, self._no_body)

    def _refuse_upgrade(self) -> None:
        raise Refused(UPSTREAM_PROTOCOL, "the protocol can't change")
