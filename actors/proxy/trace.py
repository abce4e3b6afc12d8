"""Request ids and W3C trace contexts: passed on, or made from random bytes drawn in blocks.

One `os.urandom` per request would cost as much as routing it.
"""

import os
import re
from collections.abc import Callable
from typing import Final

from tulle.actors.proxy.wire.request_head import REQUEST_ID, TRACEPARENT, TRACESTATE, RequestHead

_BLOCK: Final = 256  # pairs of ids made at once
# `#` is a random digit. Both lines are made together: nearly all requests lack both or none.
_ID_LINE: Final = b"x-request-id: ########-####-4###-8###-############"
_PARENT_LINE: Final = b"traceparent: 00-################################-################-00"
_LINES: Final = _ID_LINE + b"\r\n" + _PARENT_LINE
_SIZE: Final = len(_LINES)
_DIGITS: Final = [at for at in range(_SIZE) if _LINES[at : at + 1] == b"#"]
_IDS = rb"-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
# Later versions may have more at the end (W3C, 2.2.5).
_VALID = re.compile(rb"00" + _IDS + rb"|(?!00|ff)[0-9a-f]{2}" + _IDS + rb"(?:-.*)?")


class Tracer:
    """Makes ids. `urandom` is a source of random bytes, as `os.urandom`."""

    __slots__ = ("_at", "_draw", "_made")

    def __init__(self, urandom: Callable[[int], bytes] = os.urandom) -> None:
        self._draw = urandom
        self._made = b""
        self._at = 0

    def complete(self, head: RequestHead) -> None:
        """Adds the header lines that the request lacks: x-request-id, traceparent."""
        if head.ids:
            return
        at = self._at
        self._at = end = at + _SIZE
        lines = self._made[at:end] or self._make()
        noted = head.noted
        if not noted:
            head.made = lines
            return
        made = []
        if not head.first(REQUEST_ID):
            head.drop({REQUEST_ID})
            made.append(lines[: len(_ID_LINE)])
        parents = noted.get(TRACEPARENT, ())
        if len(parents) != 1 or not _VALID.fullmatch(parents[0]):
            # A trace that nobody can read is begun anew, and its state with it (W3C, 3.3).
            head.drop({TRACEPARENT, TRACESTATE})
            made.append(lines[-len(_PARENT_LINE) :])
        head.made = b"\r\n".join(made)

    def _make(self) -> bytes:
        """Fills a block, one digit of all its pairs at a time; its first pair."""
        block = bytearray(_LINES * _BLOCK)
        digits = self._draw(len(_DIGITS) * _BLOCK // 2).hex().encode()
        for index, at in enumerate(_DIGITS):
            block[at::_SIZE] = digits[index * _BLOCK : (index + 1) * _BLOCK]
        self._made = bytes(block)
        self._at = _SIZE
        return self._made[:_SIZE]
