"""Request targets and authorities (RFC 9112, 3.2; RFC 9110, 4.2)."""

import re
from dataclasses import dataclass
from typing import Final

from tulle.actors.proxy.wire.head import Refused
from tulle.policies.reasons import BAD_REQUEST

_ABSOLUTE = re.compile(rb"http://([^/?#]*)([^#]*)", re.IGNORECASE)
_AUTHORITY = re.compile(rb"([A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?")
_KNOWN_LIMIT: Final = 4_096


@dataclass(frozen=True, slots=True)
class Authority:
    """A host, lower case without a final dot, and its port, None when it has none."""

    host: str
    port: int | None


NO_AUTHORITY: Final = Authority("", None)
_known: dict[bytes, Authority] = {}


def parse_authority(text: bytes) -> Authority:
    """The host and port of `text`. Refused on userinfo and on anything but `host[:port]`.

    Remembers a bounded number: a proxy sees few authorities, many times.
    """
    authority = _known.get(text)
    if authority is None:
        authority = _parse_authority(text)
        if len(_known) >= _KNOWN_LIMIT:
            _known.clear()
        _known[text] = authority
    return authority


def _parse_authority(text: bytes) -> Authority:
    match = _AUTHORITY.fullmatch(text)
    port = int(match[2]) if match is not None and match[2] else None
    if match is None or (port is not None and not 0 < port < 65_536):
        raise Refused(BAD_REQUEST, f"not a host and port: {text[:80]!r}")
    return Authority(match[1].decode().lower().removesuffix("."), port)


def split_target(method: bytes, target: bytes) -> tuple[bytes | None, bytes]:
    """The authority of an absolute-form target (None otherwise) and the target in origin form.

    Of CONNECT the target is all authority, and nothing is left of it.
    """
    if target[:1] == b"/":
        if b"#" in target:
            raise Refused(BAD_REQUEST, "a request target has no fragment")
        return None, target
    if method == b"CONNECT":
        return target, b""
    if target == b"*" and method == b"OPTIONS":
        return None, target
    match = _ABSOLUTE.fullmatch(target)
    if match is None:
        raise Refused(BAD_REQUEST, f"not a request target: {target[:80]!r}")
    path = match[2]
    if not path and method == b"OPTIONS":
        path = b"*"
    return match[1], path if path[:1] in (b"/", b"*") else b"/" + path
