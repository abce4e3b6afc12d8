"""A request's head: what of it is forwarded, and what its other headers say.

Counterpart: request.py, which reads it off the wire.
"""

import re
from collections.abc import Sequence
from typing import Final

from tulle.actors.proxy.wire.body import CHUNKED, parse_length, require_chunked
from tulle.actors.proxy.wire.head import Headers, Refused, named_by_connection
from tulle.actors.proxy.wire.target import NO_AUTHORITY, Authority, parse_authority, split_target
from tulle.policies.reasons import BAD_REQUEST, HOST_MISSING, HOST_REPEATED

PEER_HEADER: Final = b"x-tulle-peer"
FORWARDED_FOR: Final = b"x-forwarded-for"
FORWARDED_PROTO: Final = b"x-forwarded-proto"
REQUEST_ID: Final = b"x-request-id"
TRACEPARENT: Final = b"traceparent"
TRACESTATE: Final = b"tracestate"

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
_PASSED: Final = frozenset(
    {b"expect", FORWARDED_FOR, FORWARDED_PROTO, REQUEST_ID, TRACEPARENT, TRACESTATE}
)
_NOTED: Final = _DROPPED | _PASSED
TUNNEL: Final = CHUNKED - 1
_VERSIONS: Final = {b"HTTP/1.1": 1, b"HTTP/1.0": 0}
# Both ids as tracers write them, one after the other; 32 or 16 zeros are none (W3C, 2.2.3).
_IDS: Final = re.compile(
    rb"\r\n(x-request-id: ([0-9a-f-]{36})\r\n"
    rb"traceparent: (00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}))"
).match
IDS_BYTES: Final = 122
_LINE: Final = b"\r\n"
_pair: Final = b": ".join


class HeaderBlock:
    """What the headers of a request say together, whatever its request line does.

    Never changed once it is made. `lines` are those that go on, joined; None: not joined yet.
    `authority` is the value of Host. The rest is as in `RequestHead`.
    """

    __slots__ = ("authority", "headers", "keep_alive", "length", "lines", "minor", "noted", "sized")

    def __init__(self, minor: int, headers: Headers) -> None:
        self.minor = minor
        self.headers = headers
        self.noted: dict[bytes, list[bytes]] = {}
        self.authority = b""
        self.length = 0
        self.sized = False
        self.keep_alive = minor == 1
        self.lines: tuple[bytes, ...] | None = None


class RequestHead:
    """A request that may be forwarded: its framing is sound and its Host is one.

    `headers` are those to forward, names in lower case; `noted` the values of those that an edge
    may ask for, by name. `path` is the target in origin form; `authority` the bytes that name the
    host, empty only in HTTP/1.0; `length` the body's bytes or CHUNKED, TUNNEL for a CONNECT.
    `lines` say the same as `headers`, or are None. `ids`: those of an id and a trace are at the end
    of them, as a proxy of the mesh writes them, and `noted` says nothing of these. `made` are such
    lines of our own, which follow.
    """

    __slots__ = (
        "authority",
        "headers",
        "host",
        "ids",
        "keep_alive",
        "length",
        "lines",
        "made",
        "method",
        "minor",
        "noted",
        "path",
        "sized",
    )

    def __init__(self, method: bytes, path: bytes, block: HeaderBlock) -> None:
        self.method = method
        self.path = path
        self.minor = block.minor
        self.authority = block.authority
        self.host: Authority = NO_AUTHORITY
        self.headers = block.headers
        self.lines = block.lines
        self.ids = False
        self.made = b""
        self.noted = block.noted
        self.length = block.length
        self.sized = block.sized  # a Content-Length was there, if only 0
        self.keep_alive = block.keep_alive

    def first(self, name: bytes) -> bytes | None:
        """The first value of the noted header `name`."""
        values = self.noted.get(name)
        return values[0] if values is not None else None

    def replace(self, headers: Headers) -> None:
        """Forwards `headers` instead."""
        self.headers = headers
        self.lines = None
        self.ids = False

    def drop(self, names: set[bytes]) -> None:
        """Forwards no header of `names`."""
        self.replace([pair for pair in self.headers if pair[0] not in names])


def is_noted(name: bytes) -> bool:
    """Whether a header (lower case) is not simply forwarded.

    One that is such a header but for `_` is dropped: to CGI and WSGI apps both are one.
    """
    if name in _NOTED or name.startswith(_OURS):
        return True
    return b"_" in name and is_noted(name.replace(b"_", b"-"))


def read_head(
    start: Sequence[bytes], block: HeaderBlock, ids: re.Match[bytes] | None = None
) -> RequestHead:
    """The head of a request line in parts and of what its headers say.

    `ids`: the lines that follow them (`match_ids`). Raises Refused when it is not for us.
    """
    method, target = start[0], start[1]
    head = RequestHead(method, target, block)
    if ids is not None:
        lines, request_id, parent = ids.groups()
        head.headers = [*block.headers, (REQUEST_ID, request_id), (TRACEPARENT, parent)]
        head.ids = True
        if head.lines is not None:
            head.lines = (*head.lines, lines)
    authority = block.authority
    if target[0] != 0x2F or b"#" in target:
        # An absolute target's authority replaces Host (RFC 9112, 3.2.2).
        named, target = split_target(method, target)
        authority = authority if named is None else named
        if not target:
            _begin_tunnel(head, authority)
        head.path = target
        head.authority = authority
    if authority:
        head.host = parse_authority(authority)
    elif block.minor:
        raise Refused(HOST_MISSING)
    return head


def minor_of(start: Sequence[bytes]) -> int:
    """The minor version in a request line in parts. Refused when it is no such line.

    llhttp has checked each part; it lets more than one space pass, we don't.
    """
    if len(start) != 3 or not start[1] or start[2] not in _VERSIONS:
        raise Refused(BAD_REQUEST, "not a request line of HTTP/1.1")
    return _VERSIONS[start[2]]


def read_block(start: Sequence[bytes], headers: Headers, noted: Headers) -> HeaderBlock:
    """What headers to forward and those that are noted say together.

    Raises Refused when it is ambiguous.
    """
    # llhttp has checked each part; it lets more than one space pass, we don't.
    if len(start) != 3 or not start[1] or start[2] not in _VERSIONS:
        raise Refused(BAD_REQUEST, "not a request line of HTTP/1.1")
    block = HeaderBlock(_VERSIONS[start[2]], headers)
    if len(noted) == 1 and noted[0][0] == b"host":
        block.authority = noted[0][1]
    else:
        _apply_noted(block, noted)
    return block


def lines_of(headers: Headers) -> tuple[bytes, ...]:
    """The lines of headers, joined."""
    return (_LINE.join(map(_pair, headers)),) if headers else ()


def match_ids(headers: bytes) -> re.Match[bytes] | None:
    """The lines that a tracer of the mesh has written, if they are the last of `headers`.

    Groups: both lines, the request id, the trace context, which is valid.
    """
    at = len(headers) - IDS_BYTES
    return _IDS(headers, at) if at > 0 else None


def _begin_tunnel(head: RequestHead, authority: bytes) -> None:
    """A CONNECT has no body: what follows its head is the tunnel's."""
    if head.length or head.sized:
        raise Refused(BAD_REQUEST, "a CONNECT with a body")
    if parse_authority(authority).port is None:
        raise Refused(BAD_REQUEST, "CONNECT names a host and a port")
    head.length = TUNNEL


def _apply_noted(block: HeaderBlock, noted: Headers) -> None:
    """Reads framing, Host and connection options into `block`."""
    values, forwarded, minor = block.noted, block.headers, block.minor
    for field in noted:
        name, value = field
        if name in values:
            values[name].append(value)
        else:
            values[name] = [value]
        if name in _PASSED:
            forwarded.append(field)
    lengths = values.get(b"content-length")
    codings = values.get(b"transfer-encoding")
    if codings is not None:
        if lengths is not None:
            raise Refused(BAD_REQUEST, "both Content-Length and Transfer-Encoding")
        require_chunked(codings[0], minor, len(codings) > 1)
        block.length = CHUNKED
    elif lengths is not None:
        block.length = parse_length(lengths[0], None if len(lengths) == 1 else 0)
        block.sized = True
    if (options := values.get(b"connection")) is not None:
        _apply_connection(block, options)
    hosts = values.get(b"host", ())
    if len(hosts) > 1:
        raise Refused(HOST_REPEATED)
    if not hosts and minor:
        raise Refused(HOST_MISSING)
    block.authority = hosts[0] if hosts else b""


def _apply_connection(block: HeaderBlock, values: list[bytes]) -> None:
    options = named_by_connection(values)
    closes = b"close" in options
    block.keep_alive = not closes and (block.minor == 1 or b"keep-alive" in options)
    if options - {b"close", b"keep-alive"}:
        block.headers = [pair for pair in block.headers if pair[0] not in options]
        for name in options & _PASSED:
            block.noted.pop(name, None)
