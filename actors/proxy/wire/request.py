"""Reads requests off a client's bytes: heads through llhttp, bodies by `wire.body`.

One request at a time: after its end the reader keeps what comes until `proceed()`, so that
pipelined requests are answered in order and never pile up parsed.
"""

import re
from typing import Final, Protocol

import httptools

from tulle.actors.proxy.wire.body import ChunkReader
from tulle.actors.proxy.wire.head import HEADERS, HeadReader, Refused, Sorted
from tulle.actors.proxy.wire.known import KnownLines, Memo
from tulle.actors.proxy.wire.request_head import (
    IDS_BYTES,
    REQUEST_ID,
    TRACEPARENT,
    TUNNEL,
    HeaderBlock,
    RequestHead,
    is_noted,
    lines_of,
    match_ids,
    read_block,
    read_head,
)
from tulle.policies.reasons import BAD_REQUEST, UPGRADE_NOT_SUPPORTED, Reason

_known: Final = KnownLines()
_starts: Final = Memo[list[bytes]](size=256)  # request lines in parts
_blocks: Final = {version: Memo[HeaderBlock]() for version in (b"HTTP/1.1", b"HTTP/1.0")}
_METHODS: Final = frozenset({b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"PATCH"})
# Longer ones are read by llhttp, with the limit for all of a head.
_TARGET_BYTES: Final = 8_192
_LINES_BYTES: Final = 49_152
_VISIBLE: Final = bytes(range(0x21, 0x7F))
_LINE: Final = b"\r\n"
_IDS: Final = frozenset({REQUEST_ID, TRACEPARENT})

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

    __slots__ = ("_chunks", "_left", "_phase", "_request", "_sink", "held")

    _request: RequestHead  # the last one that was read

    def __init__(self, sink: RequestSink) -> None:
        super().__init__(httptools.HttpRequestParser, _known)
        self._sink = sink
        self._phase = _HEAD
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
        head = self._request
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
        if rest is not None:
            head = self._request
            if head.method == b"CONNECT" and head.path:
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

    def _recall(self, head: bytes) -> bool:
        line, _, headers = head.partition(_LINE)
        start = _starts.found.get(line) or _read_start(line)
        if start is None or start[2] not in _blocks:
            return False
        ids = match_ids(headers)
        known = headers if ids is None else headers[:-IDS_BYTES]
        block = _blocks[start[2]].found.get(known)
        if block is None:
            return self._recall_lines(start, known, ids)
        self._request = read_head(start, block, ids)
        return True

    def _recall_lines(self, start: list[bytes], known: bytes, ids: re.Match[bytes] | None) -> bool:
        """Takes a head by the lines `known`, and `ids` after them."""
        lines = known.split(_LINE) if known else []
        if len(lines) > HEADERS - 2 or len(known) > _LINES_BYTES:
            return False
        found = self._read_lines(lines)
        if found is None:
            return False
        block = read_block(start, found.headers, found.aside)
        if ids is not None and not block.noted.keys().isdisjoint(_IDS):
            return False
        if not found.news:
            block.lines = lines_of(block.headers)
            _blocks[start[2]].learn(known, block)
        self._request = read_head(start, block, ids)
        return True

    def _is_aside(self, name: bytes) -> bool:
        return is_noted(name)

    def _keep(self, start: bytes, sorted_lines: Sorted) -> None:
        parts = start.split(b" ")
        block = read_block(parts, sorted_lines.headers, sorted_lines.aside)
        self._request = read_head(parts, block)

    def _refuse_upgrade(self) -> None:
        if self._parser is None or self._parser.get_method() != b"CONNECT":
            raise Refused(UPGRADE_NOT_SUPPORTED)


def _read_start(line: bytes) -> list[bytes] | None:
    """A request line in parts; None: llhttp has to look at it."""
    start = line.split(b" ")
    # What llhttp would look at: a method that it knows, and a target of visible characters.
    if len(start) != 3 or start[0] not in _METHODS or start[1].translate(None, _VISIBLE):
        return None
    if not 0 < len(start[1]) <= _TARGET_BYTES:
        return None
    if b"?" not in start[1]:  # which is where secrets may be
        _starts.learn(line, start)
    return start
