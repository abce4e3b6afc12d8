"""Paths as authorization compares them: Istio's normalisation BASE (RFC 3986, section 6.2.2).

Unreserved characters are decoded, `\\` becomes `/`, dot segments are resolved. Slashes are not
merged, and `%2F` stays: those are Istio's stricter settings. Without it `/public/../admin` would
pass a rule on `/public/*`. What was judged is also what goes on (`settled`): an app that decodes
or resolves otherwise would else read another path.
"""

from typing import Final

_UNRESERVED: Final = frozenset(
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
)
_HEX: Final = frozenset(b"0123456789ABCDEFabcdef")


def normalised(target: bytes) -> bytes:
    """The path of a request target, without query and fragment, in the form that is compared."""
    for mark in (b"?", b"#"):
        if (end := target.find(mark)) >= 0:
            target = target[:end]
    if target.isascii() and not (b"%" in target or b"\\" in target or b"/." in target):
        return target
    path = _decoded(target).replace(b"\\", b"/")
    return _without_dots(path) if b"/." in path else path


def settled(target: bytes) -> bytes:
    """A request target whose path is in the form that is compared; the query stays as it is."""
    if target.isascii() and not (b"%" in target or b"\\" in target or b"/." in target):
        return target
    path, mark, query = target.partition(b"?")
    return normalised(path) + mark + query


def _decoded(path: bytes) -> bytes:
    """Escapes of unreserved characters decoded, bytes that are not ASCII escaped.

    So is a `%` that begins no escape: `%%32e` would else become one (`%2e`).
    """
    first, *rest = path.split(b"%")
    parts = [first]
    for part in rest:
        code = part[:2]
        if len(code) < 2 or not _HEX.issuperset(code):
            parts += (b"%25", part)
        elif int(code, 16) in _UNRESERVED:
            parts += (bytes((int(code, 16),)), part[2:])
        else:
            parts += (b"%", part)
    text = b"".join(parts)
    return text if text.isascii() else b"".join(map(_escaped, text))


def _escaped(byte: int) -> bytes:
    return bytes((byte,)) if byte < 0x80 else b"%%%02X" % byte


def _without_dots(path: bytes) -> bytes:
    """`/a/./b/../c` -> `/a/c`; what would leave the root stays in it."""
    kept: list[bytes] = []
    segments = path.split(b"/")[1:]
    for segment in segments:
        if segment == b"..":
            del kept[-1:]
        elif segment != b".":
            kept.append(segment)
    if segments[-1] in (b".", b".."):
        kept.append(b"")
    return b"/" + b"/".join(kept)
