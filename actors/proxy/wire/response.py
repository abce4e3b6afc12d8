"""Reads responses off an upstream's bytes: heads through llhttp, bodies by `wire.body`."""

from typing import Final, Protocol

import httptools

from tulle.actors.proxy.wire.body import (
    CHUNKED,
    UNTIL_CLOSE,
    ChunkReader,
    parse_length,
    require_chunked,
)
from tulle.actors.proxy.wire.head import HEADERS, Headers, HeadReader, Refused, named_by_connection
from tulle.actors.proxy.wire.known import KnownLines
from tulle.policies.reasons import UPSTREAM_PROTOCOL

# Never forwarded as they come: framing is written anew, the rest is meant for this hop alone.
_DROPPED: Final = frozenset(
    {
        b"connection",
        b"content-length",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)

_VERSIONS: Final = {b"HTTP/1.1 ": 1, b"HTTP/1.0 ": 0}
_known: Final = KnownLines()
_known_starts: Final[dict[bytes, tuple[int, int]]] = {}  # status lines: status, minor version
_KNOWN_STARTS: Final = 256
_LINES_BYTES: Final = 57_344  # longer ones are read by llhttp, with the limit for all of a head
_WITHOUT_BODY: Final = frozenset({*range(200), 204, 304})

# Phases. Not an enum: its members cost a search per look.
_IDLE: Final = 0  # no request is unanswered: any byte is a flaw
_HEAD: Final = 1
_FIXED: Final = 2
_CHUNKED: Final = 3
_UNTIL_CLOSE: Final = 4
_DEAD: Final = 5


class ResponseHead:
    """A response's head. `lines` are the headers to forward, as they came.

    `length` is what follows: the body's bytes, CHUNKED or UNTIL_CLOSE. `declared` is the value of
    Content-Length, which a response without a body may have too (HEAD, 304).
    """

    __slots__ = ("declared", "keep_alive", "length", "lines", "minor", "status")

    def __init__(self, status: int, minor: int, lines: list[bytes]) -> None:
        self.status = status
        self.minor = minor
        self.lines = lines
        self.length = UNTIL_CLOSE
        self.declared: int | None = None
        self.keep_alive = minor == 1


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

    __slots__ = ("_aside", "_chunks", "_left", "_lines", "_no_body", "_phase", "_sink", "_start")

    _sink: ResponseSink  # set by `expect`; nothing is told before

    def __init__(self) -> None:
        super().__init__(httptools.HttpResponseParser, _known, b"HTTP/1.1 204 No Content\r\n")
        self._phase = _IDLE
        self._no_body = False
        self._left = 0
        self._start = b""
        self._lines: list[bytes] = []  # to forward
        self._aside: Headers = []
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
        head = self._finish_head()
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

    def _recall(self, lines: list[bytes]) -> bool:
        start = lines.pop(0)
        count = len(lines)
        if start not in _known_starts or count > HEADERS:
            return False
        kept = [*filter(_known.kept.__contains__, lines)]
        aside = [*filter(None, map(_known.aside.get, lines))]
        if len(kept) + len(aside) == count:
            self._start = start
            self._lines = kept
            self._aside = aside
            return True
        if sum(map(len, lines)) > _LINES_BYTES:
            return False
        self._ask(start, lines)
        return True

    def _is_aside(self, name: bytes) -> bool:
        return name in _DROPPED

    def _keep(self, start: bytes, lines: list[bytes], headers: Headers, aside: Headers) -> None:
        self._start = start
        self._lines = lines
        self._aside = aside

    def _finish_head(self) -> ResponseHead:
        start = self._start
        known = _known_starts.get(start)
        if known is None:
            known = self._read_start(start)
        status, minor = known
        head = ResponseHead(status, minor, self._lines)
        if self._aside:
            _apply_aside(head, self._aside)
        if status in _WITHOUT_BODY or self._no_body:
            head.length = 0
            if status < 300 and status in _WITHOUT_BODY:  # RFC 9110, 8.6: no length either
                head.declared = None
        return head

    def _read_start(self, start: bytes) -> tuple[int, int]:
        """Status and minor version of a status line, which llhttp has accepted."""
        minor = _VERSIONS.get(start[:9])
        status = start[9:12]
        if minor is None or not status.isdigit() or len(status) != 3:
            raise Refused(UPSTREAM_PROTOCOL, f"not a status line of HTTP/1.1: {start[:40]!r}")
        if status < b"102" and status != b"100":
            raise Refused(UPSTREAM_PROTOCOL, f"status {status.decode()} was not asked for")
        if len(_known_starts) >= _KNOWN_STARTS:
            _known_starts.clear()
        _known_starts[start] = known = (int(status), minor)
        return known

    def _refuse_upgrade(self) -> None:
        raise Refused(UPSTREAM_PROTOCOL, "the protocol can't change")


def _apply_aside(head: ResponseHead, aside: Headers) -> None:
    """Reads framing and connection options into `head`."""
    length = None
    chunked = False
    options: list[bytes] = []
    for name, value in aside:
        if name == b"content-length":
            length = parse_length(value, length)
        elif name == b"connection":
            if value == b"keep-alive":
                head.keep_alive = True
            else:
                options.append(value)
        elif name == b"transfer-encoding":
            require_chunked(value, head.minor, chunked)
            chunked = True
    if chunked:
        if length is not None:
            raise Refused(UPSTREAM_PROTOCOL, "both Content-Length and Transfer-Encoding")
        head.length = CHUNKED
    elif length is not None:
        head.declared = head.length = length
    if options:
        _apply_connection(head, named_by_connection(options))


def _apply_connection(head: ResponseHead, options: set[bytes]) -> None:
    closes = b"close" in options
    head.keep_alive = not closes and (head.keep_alive or b"keep-alive" in options)
    if named := options - {b"close", b"keep-alive"}:
        head.lines = [line for line in head.lines if line.partition(b":")[0].lower() not in named]
