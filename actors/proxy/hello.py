"""What the first bytes of a connection say: TLS or not, and for which server (SNI).

Counterpart: sniffing.py, which looks at them unread. The certificate, the versions and whether a
client certificate is asked for depend on the server's name; OpenSSL's own SNI callback comes too
late for all but the first, so the name is read here.
"""

import re
from dataclasses import dataclass
from typing import Final

HEAD_BYTES: Final = 6
"""Enough to tell TLS from anything else."""
HELLO_BYTES: Final = 5 + 16_384
"""A whole record."""

_RECORD_HANDSHAKE: Final = 0x16
_CLIENT_HELLO: Final = 0x01
_RECORD_HEAD: Final = 5
_BEFORE_SESSION: Final = 4 + 2 + 32  # handshake head, version, random
_SERVER_NAME: Final = 0
_HOST_NAME: Final = 0
_NAME: Final = re.compile(rb"[A-Za-z0-9._-]{1,254}")


@dataclass(frozen=True, slots=True)
class First:
    """`sni`: lower case, empty without one, or when nobody asked for it."""

    tls: bool
    sni: str = ""


NOT_TLS: Final = First(False)
TLS: Final = First(True)


def is_client_hello(head: bytes) -> bool | None:
    """Whether a TLS ClientHello begins so; None: too short to tell.

    Of its first six bytes: record type, version 3.x, record length (2), handshake type.
    """
    if head[:1] and head[0] != _RECORD_HANDSHAKE:
        return False
    if len(head) > 1 and head[1] != 3:
        return False
    if len(head) < HEAD_BYTES:
        return None
    return head[5] == _CLIENT_HELLO


def read_first(head: bytes, with_name: bool) -> First | None:
    """What a connection is that begins with `head`; None: more is needed to tell."""
    tls = is_client_hello(head)
    if tls is None:
        return None
    if not tls:
        return NOT_TLS
    if not with_name:
        return TLS
    end = min(_RECORD_HEAD + int.from_bytes(head[3:5]), HELLO_BYTES)
    return First(True, server_name(head[_RECORD_HEAD:end])) if len(head) >= end else None


def server_name(hello: bytes) -> str:
    """The host name that a ClientHello (RFC 8446, 4.1.2) asks for, in lower case.

    Empty without one, and when the hello is cut short or broken: that OpenSSL judges.
    """
    at = _BEFORE_SESSION
    for width in (1, 2, 1):  # session id, cipher suites, compression methods
        at += width + int.from_bytes(hello[at : at + width])
    extensions = _vector(hello[at:], 2)
    while len(extensions) >= 4:
        kind, body = int.from_bytes(extensions[:2]), _vector(extensions[2:], 2)
        if kind == _SERVER_NAME:
            return _host_name(_vector(body, 2))
        extensions = extensions[4 + len(body) :]
    return ""


def _host_name(names: bytes) -> str:
    """Of a ServerNameList (RFC 6066, 3)."""
    if len(names) < 3 or names[0] != _HOST_NAME:
        return ""
    name = _vector(names[1:], 2)
    # What is no name is none: it would get into logs as if it were.
    return name.decode().lower().removesuffix(".") if _NAME.fullmatch(name) else ""


def _vector(data: bytes, width: int) -> bytes:
    """What stands behind its own length."""
    return data[width : width + int.from_bytes(data[:width])]
