"""A response's head: what of it is forwarded, and what its other headers say.

Counterpart: response.py, which reads it off the wire.
"""

from typing import Final

from tulle.actors.proxy.wire.body import CHUNKED, UNTIL_CLOSE, parse_length, require_chunked
from tulle.actors.proxy.wire.head import Headers, Refused, named_by_connection
from tulle.policies.reasons import UPSTREAM_PROTOCOL

FAILED_HEADER: Final = b"x-tulle-failed"
"""From a workload's sidecar to the proxy that asked it: the reason why the app did not answer.

Of this hop alone, so that no app can say it: from an app it gets no further than its sidecar.
"""
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
        FAILED_HEADER,
    }
)

_WITHOUT_BODY: Final = frozenset({*range(200), 204, 304})
_KNOWN: Final = 256  # status lines remembered
_known: Final[dict[bytes, tuple[int, int]]] = {}  # their status and minor version
_VERSIONS: Final = {b"HTTP/1.1 ": 1, b"HTTP/1.0 ": 0}


class ResponseHead:
    """A response's head. `lines` are the headers to forward, as they came.

    Never changed once it is read: one that comes again is the same. `length` is what follows: the
    body's bytes, CHUNKED or UNTIL_CLOSE. `declared` is the value of Content-Length, which a
    response without a body may have too (HEAD, 304). `joined` is the head that goes on, but for
    further framing and its end, empty while it is not known (`compose.response_head`).
    `failed`: the value of FAILED_HEADER.
    """

    __slots__ = ("declared", "failed", "joined", "keep_alive", "length", "lines", "minor", "status")

    def __init__(self, status: int, minor: int, lines: list[bytes]) -> None:
        self.status = status
        self.minor = minor
        self.lines = lines
        self.length = UNTIL_CLOSE
        self.declared: int | None = None
        self.keep_alive = minor == 1
        self.failed = b""
        self.joined = b""

    def edited(self, lines: list[bytes]) -> "ResponseHead":
        """The same with other headers to forward."""
        head = ResponseHead(self.status, self.minor, lines)
        head.length, head.declared, head.keep_alive = self.length, self.declared, self.keep_alive
        return head


def is_dropped(name: bytes) -> bool:
    """Whether a header (lower case) is not forwarded."""
    return name in _DROPPED


def is_known(start: bytes) -> bool:
    """Whether this status line was read before."""
    return start in _known


def read_head(start: bytes, lines: list[bytes], dropped: Headers, no_body: bool) -> ResponseHead:
    """The head of a status line that llhttp has accepted, lines to forward and other headers.

    `no_body`: the request was a HEAD. Raises Refused when it is ambiguous.
    """
    known = _known.get(start)
    if known is None:
        known = _read_start(start)
    status, minor = known
    head = ResponseHead(status, minor, lines)
    if dropped:
        _apply_dropped(head, dropped)
    if no_body or status in _WITHOUT_BODY:
        head.length = 0
        if status < 300 and status in _WITHOUT_BODY:  # RFC 9110, 8.6: no length either
            head.declared = None
    return head


def _read_start(start: bytes) -> tuple[int, int]:
    minor = _VERSIONS.get(start[:9])
    status = start[9:12]
    if minor is None or not status.isdigit() or len(status) != 3:
        raise Refused(UPSTREAM_PROTOCOL, f"not a status line of HTTP/1.1: {start[:40]!r}")
    if status < b"102" and status != b"100":
        raise Refused(UPSTREAM_PROTOCOL, f"status {status.decode()} was not asked for")
    if len(_known) >= _KNOWN:
        _known.clear()
    _known[start] = known = (int(status), minor)
    return known


def _apply_dropped(head: ResponseHead, dropped: Headers) -> None:
    """Reads framing and connection options into `head`."""
    length = None
    chunked = False
    options: list[bytes] = []
    for name, value in dropped:
        if name == b"content-length":
            length = parse_length(value, length)
        elif name == b"connection":
            if value == b"keep-alive":
                head.keep_alive = True
            else:
                options.append(value)
        elif name == FAILED_HEADER:
            head.failed = value
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
