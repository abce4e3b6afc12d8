"""Reads requests off a client's bytes: heads through llhttp, bodies by `wire.body`.

One request at a time: after its end the reader keeps what comes until `proceed()`, so that
pipelined requests are answered in order and never pile up parsed.
"""

from typing import Final, Protocol

import httptools

from tulle.actors.proxy.wire.body import CHUNKED, ChunkReader, parse_length, require_chunked
from tulle.actors.proxy.wire.head import HEADERS, Headers, HeadReader, Refused, named_by_connection
from tulle.actors.proxy.wire.known import KnownLines
from tulle.actors.proxy.wire.target import NO_AUTHORITY, Authority, parse_authority, split_target
from tulle.policies.reasons import (
    BAD_REQUEST,
    CONNECT_NOT_SUPPORTED,
    HOST_MISSING,
    HOST_REPEATED,
    UPGRADE_NOT_SUPPORTED,
    Reason,
)

PEER_HEADER: Final = b"x-tulle-peer"
FORWARDED_FOR: Final = b"x-forwarded-for"
FORWARDED_PROTO: Final = b"x-forwarded-proto"
REQUEST_ID: Final = b"x-request-id"
TRACEPARENT: Final = b"traceparent"

_OURS: Final = b"x-tulle-"
# Never forwarded as they come: framing is written anew, the rest is meant for this hop alone.
_DROPPED: Final = frozenset(
    {
        b"connection",
        b"content-length",
        b"host",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"x-forwarded-client-cert",
    }
)
# Forwarded, and looked at by edges.
_PASSED: Final = frozenset({b"expect", FORWARDED_FOR, FORWARDED_PROTO, REQUEST_ID, TRACEPARENT})
_NOTED: Final = _DROPPED | _PASSED

_known: Final = KnownLines()
_METHODS: Final = frozenset({b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"PATCH"})
# Longer ones are read by llhttp, with the limit for all of a head.
_TARGET_BYTES: Final = 8_192
_LINES_BYTES: Final = 49_152
_VISIBLE: Final = bytes(range(0x21, 0x7F))
_VERSIONS: Final = {b"HTTP/1.1": 1, b"HTTP/1.0": 0}

# Phases. Not an enum: its members cost a search per look.
_HEAD: Final = 0
_FIXED: Final = 1
_CHUNKED: Final = 2
_HELD: Final = 3  # until proceed()
_DEAD: Final = 4


class RequestHead:
    """A request that may be forwarded: its framing is sound and its Host is one.

    `headers` are those to forward, names in lower case; `noted` the values of those that an edge
    may ask for, by name. `path` is the target in origin form; `authority` the bytes that name the
    host, empty only in HTTP/1.0; `length` the body's bytes or CHUNKED.
    """

    __slots__ = (
        "authority",
        "headers",
        "host",
        "keep_alive",
        "length",
        "method",
        "minor",
        "noted",
        "path",
        "sized",
    )

    def __init__(self, method: bytes, minor: int, headers: Headers) -> None:
        self.method = method
        self.minor = minor
        self.headers = headers
        self.noted: dict[bytes, list[bytes]] = {}
        self.path = b""
        self.authority = b""
        self.host: Authority = NO_AUTHORITY
        self.length = 0
        self.sized = False  # a Content-Length was there, if only 0
        self.keep_alive = minor == 1

    def first(self, name: bytes) -> bytes | None:
        """The first value of the noted header `name`."""
        values = self.noted.get(name)
        return values[0] if values is not None else None

    def drop(self, names: set[bytes]) -> None:
        """Forwards no header of `names`."""
        self.headers[:] = [pair for pair in self.headers if pair[0] not in names]


class RequestSink(Protocol):
    """What a reader tells: per request `on_request`, and if it has a body `on_data`..., `on_end`.

    `on_refused` ends it all.
    """

    def on_request(self, head: RequestHead) -> None: ...
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
        head = self._finish_head()
        length = self._left = head.length
        if length:
            self._phase = _FIXED if length > 0 else _CHUNKED
            self._chunks = ChunkReader() if length < 0 else None
        else:
            self._phase = _HELD
        self._sink.on_request(head)
        return rest

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
        aside = [*filter(None, map(_known.aside.get, lines))]
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
        return name in _NOTED or name.startswith(_OURS)

    def _keep(self, start: bytes, lines: list[bytes], headers: Headers, aside: Headers) -> None:
        self._start = start.split(b" ")
        self._headers = headers
        self._aside = aside

    def _finish_head(self) -> RequestHead:
        # llhttp has checked each part; it lets more than one space pass, we don't.
        start = self._start
        if len(start) != 3 or not start[1] or start[2] not in _VERSIONS:
            raise Refused(BAD_REQUEST, "not a request line of HTTP/1.1")
        method, target, version = start
        head = RequestHead(method, _VERSIONS[version], self._headers)
        noted = self._aside
        if len(noted) == 1 and noted[0][0] == b"host":
            authority = noted[0][1]
        else:
            authority = _apply_noted(head, noted)
        if target[0] != 0x2F or b"#" in target:
            # An absolute target's authority replaces Host (RFC 9112, 3.2.2).
            named, target = split_target(method, target)
            authority = authority if named is None else named
        head.path = target
        if authority:
            head.authority = authority
            head.host = parse_authority(authority)
        elif head.minor:
            raise Refused(HOST_MISSING)
        return head

    def _refuse_upgrade(self) -> None:
        connect = self._parser.get_method() == b"CONNECT"
        raise Refused(CONNECT_NOT_SUPPORTED if connect else UPGRADE_NOT_SUPPORTED)


def _apply_noted(head: RequestHead, noted: Headers) -> bytes:
    """Reads framing, Host and connection options into `head`; the value of Host."""
    values = head.noted
    for name, value in noted:
        values.setdefault(name, []).append(value)
        if name in _PASSED:
            head.headers.append((name, value))
    lengths = values.get(b"content-length")
    codings = values.get(b"transfer-encoding")
    if codings is not None:
        if lengths is not None:
            raise Refused(BAD_REQUEST, "both Content-Length and Transfer-Encoding")
        require_chunked(codings[0], head.minor, len(codings) > 1)
        head.length = CHUNKED
    elif lengths is not None:
        head.length = parse_length(lengths[0], None if len(lengths) == 1 else 0)
        head.sized = True
    if (options := values.get(b"connection")) is not None:
        _apply_connection(head, options)
    hosts = values.get(b"host", ())
    if len(hosts) > 1:
        raise Refused(HOST_REPEATED)
    if not hosts and head.minor:
        raise Refused(HOST_MISSING)
    return hosts[0] if hosts else b""


def _apply_connection(head: RequestHead, values: list[bytes]) -> None:
    options = named_by_connection(values)
    closes = b"close" in options
    head.keep_alive = not closes and (head.minor == 1 or b"keep-alive" in options)
    if options - {b"close", b"keep-alive"}:
        head.drop(options)
        for name in options & _PASSED:
            head.noted.pop(name, None)
