"""Reads requests off a client's bytes: heads through llhttp, bodies by `wire.body`.

One request at a time: after its end the reader keeps what comes until `proceed()`, so that
pipelined requests are answered in order and never pile up parsed.
"""

import re
from typing import Final, Protocol

import httptools

from tulle.actors.proxy.wire.body import ChunkReader
from tulle.actors.proxy.wire.head import HEADERS, Headers, HeadReader, Refused
from tulle.actors.proxy.wire.known import KnownLines
from tulle.actors.proxy.wire.request_head import TUNNEL, RequestHead, is_noted, read_head
from tulle.policies.reasons import BAD_REQUEST, UPGRADE_NOT_SUPPORTED, Reason

_known: Final = KnownLines()
_METHODS: Final = frozenset({b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"PATCH"})
# Longer ones are read by llhttp, with the limit for all of a head.
_TARGET_BYTES: Final = 8_192
_LINES_BYTES: Final = 49_152
_VISIBLE: Final = bytes(range(0x21, 0x7F))
# What another proxy of the mesh adds, unlike on each request: what it is, its form alone tells.
_ID: Final = re.compile(rb"(x-request-id|traceparent): ([0-9a-f-]{1,64})").fullmatch

# Phases. Not an enum: its members cost a search per look.
_HEAD: Final = 0
_FIXED: Final = 1
_CHUNKED: Final = 2
_HELD: Final = 3  # until proceed()
_DEAD: Final = 4


class RequestSink(Protocol):
    """What a reader tells: per request `on_request`, and if it has a body `on_data`..., `on_end`.

    `on_connect` of a CONNECT: all that follows is in `held`. `on_refused` ends it all.
    """

    def on_request(self, head: RequestHead) -> None: ...
    def on_connect(self, head: RequestHead) -> None: ...
    def on_data(self, data: bytes) -> None: ...
    def on_end(self) -> None: ...
    def on_refused(self, reason: Reason, detail: str) -> None: ...


class RequestReader(HeadReader[httptools.HttpRequestParser]):
    """Feed it a client's bytes; it calls the sink, never but out of `feed` and `proceed`.

    `held`: bytes that wait for `proceed()`.
    """

    __slots__ = ("_aside", "_chunks", "_headers", "_left", "_phase", "_sink", "_start", "held")

    def __init__(self, sink: RequestSink) -> None:
        super().__init__(httptools.HttpRequestParser, _known, b"GET / HTTP/1.1\r\n")
        self._sink = sink
        self._phase = _HEAD
        self._start: list[bytes] = []  # method, target, version
        self._headers: Headers = []
        self._aside: Headers = []
        self._left = 0
        self._chunks: ChunkReader | None = None
        self.held = b""

    def feed(self, data: bytes) -> None:
        """Takes what the client sent."""
        try:
            while data:
                phase = self._phase
                if phase == _HEAD:
                    data = self._take_request(data)
                elif phase == _FIXED:
                    data = self._take_fixed(data)
                elif phase == _CHUNKED:
                    data = self._take_chunked(data)
                else:
                    if phase == _HELD:
                        self.held += data
                    return
        except Refused as refused:
            self._phase = _DEAD
            self._sink.on_refused(refused.reason, str(refused))

    def proceed(self) -> None:
        """The request is answered: goes on to the next, with what was held back."""
        if self._phase == _HELD:
            self._phase = _HEAD
            if self.held:
                held, self.held = self.held, b""
                self.feed(held)

    def stop(self) -> None:
        """Nothing more is read: whatever comes is dropped."""
        self._phase = _DEAD
        self.held = b""

    def _take_request(self, data: bytes) -> bytes:
        rest = self._take_head(data)
        if rest is None:
            return b""
        head = read_head(self._start, self._headers, self._aside)
        length = self._left = head.length
        if length:
            if length == TUNNEL:
                self._take_connect(head)
                return rest
            self._phase = _FIXED if length > 0 else _CHUNKED
            self._chunks = ChunkReader() if length < 0 else None
        else:
            self._phase = _HELD
        self._sink.on_request(head)
        return rest

    def _parse_head(self, data: bytes) -> bytes | None:
        rest = super()._parse_head(data)
        # Of a path llhttp says nothing, and it is forwarded like any other.
        if rest is not None and self._start[0] == b"CONNECT" and self._start[1][:1] == b"/":
            raise Refused(BAD_REQUEST, "CONNECT names a host and a port")
        return rest

    def _take_connect(self, head: RequestHead) -> None:
        """What follows it waits, unread, for the tunnel."""
        head.length = self._left = 0
        self._phase = _HELD
        self._sink.on_connect(head)

    def _take_fixed(self, data: bytes) -> bytes:
        left = self._left
        piece = data if len(data) <= left else data[:left]
        self._left = left = left - len(piece)
        if not left:
            self._phase = _HELD
        self._sink.on_data(piece)
        if not left:
            self._sink.on_end()
        return data[len(piece) :]

    def _take_chunked(self, data: bytes) -> bytes:
        assert self._chunks is not None
        piece, rest = self._chunks.feed(data)
        if rest is not None:
            self._phase = _HELD
        if piece:
            self._sink.on_data(piece)
        if rest is None:
            return b""
        self._sink.on_end()
        return rest

    def _recall(self, lines: list[bytes]) -> bool:
        # What llhttp would look at: a method that it knows, and a target of visible characters.
        line = lines.pop(0)
        start = line.split(b" ")
        if len(start) != 3 or start[0] not in _METHODS or start[1].translate(None, _VISIBLE):
            return False
        count = len(lines)
        if count > HEADERS or len(start[1]) > _TARGET_BYTES:
            return False
        headers = [*filter(None, map(_known.kept.get, lines))]
        aside = [] if len(headers) == count else _told_aside(lines)
        if len(headers) + len(aside) == count:
            self._start = start
            self._headers = headers
            self._aside = aside
            return True
        if sum(map(len, lines)) > _LINES_BYTES:
            return False
        self._ask(line, lines)
        return True

    def _is_aside(self, name: bytes) -> bool:
        return is_noted(name)

    def _keep(self, start: bytes, lines: list[bytes], headers: Headers, aside: Headers) -> None:
        self._start = start.split(b" ")
        self._headers = headers
        self._aside = aside

    def _refuse_upgrade(self) -> None:
        if self._parser.get_method() != b"CONNECT":
            raise Refused(UPGRADE_NOT_SUPPORTED)


def _told_aside(lines: list[bytes]) -> Headers:
    """Of the headers that are set aside, those of lines that are known, and ids."""
    kept, aside = _known.kept, _known.aside
    found: Headers = []
    for line in lines:
        if (field := aside.get(line)) is not None:
            found.append(field)
        elif line not in kept and (match := _ID(line)) is not None:
            found.append((match[1], match[2]))
    return found
