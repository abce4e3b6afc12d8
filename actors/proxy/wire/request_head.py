"""A request's head: what of it is forwarded, and what its other headers say.

Counterpart: request.py, which reads it off the wire.
"""

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


class RequestHead:
    """A request that may be forwarded: its framing is sound and its Host is one.

    `headers` are those to forward, names in lower case; `noted` the values of those that an edge
    may ask for, by name. `path` is the target in origin form; `authority` the bytes that name the
    host, empty only in HTTP/1.0; `length` the body's bytes or CHUNKED, TUNNEL for a CONNECT.
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


def is_noted(name: bytes) -> bool:
    """Whether a header (lower case) is not simply forwarded.

    One that is such a header but for `_` is dropped: to CGI and WSGI apps both are one.
    """
    if name in _NOTED or name.startswith(_OURS):
        return True
    return b"_" in name and is_noted(name.replace(b"_", b"-"))


def read_head(start: list[bytes], headers: Headers, noted: Headers) -> RequestHead:
    """The head of a request line in parts, its headers to forward, and those that are noted.

    Raises Refused when it is ambiguous or not for us.
    """
    # llhttp has checked each part; it lets more than one space pass, we don't.
    if len(start) != 3 or not start[1] or start[2] not in _VERSIONS:
        raise Refused(BAD_REQUEST, "not a request line of HTTP/1.1")
    method, target, version = start
    head = RequestHead(method, _VERSIONS[version], headers)
    if len(noted) == 1 and noted[0][0] == b"host":
        authority = noted[0][1]
    else:
        authority = _apply_noted(head, noted)
    if target[0] != 0x2F or b"#" in target:
        # An absolute target's authority replaces Host (RFC 9112, 3.2.2).
        named, target = split_target(method, target)
        authority = authority if named is None else named
        if not target:
            _begin_tunnel(head, authority)
    head.path = target
    if authority:
        head.authority = authority
        head.host = parse_authority(authority)
    elif head.minor:
        raise Refused(HOST_MISSING)
    return head


def _begin_tunnel(head: RequestHead, authority: bytes) -> None:
    """A CONNECT has no body: what follows its head is the tunnel's."""
    if head.length or head.sized:
        raise Refused(BAD_REQUEST, "a CONNECT with a body")
    if parse_authority(authority).port is None:
        raise Refused(BAD_REQUEST, "CONNECT names a host and a port")
    head.length = TUNNEL


def _apply_noted(head: RequestHead, noted: Headers) -> bytes:
    """Reads framing, Host and connection options into `head`; the value of Host."""
    values, forwarded = head.noted, head.headers
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
