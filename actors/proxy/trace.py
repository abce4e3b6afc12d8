"""Request ids and W3C trace contexts: passed on, or made from random bytes drawn in blocks.

One `os.urandom` per request would cost as much as routing it.
"""

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from struct import Struct
from typing import Final

from tulle.actors.proxy.wire.request import REQUEST_ID, TRACEPARENT, RequestHead

TRACESTATE: Final = b"tracestate"

_BLOCK: Final = 64  # ids made at once
_VALID = re.compile(rb"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


class Tracer:
    """Makes ids. `urandom` is a source of random bytes, as `os.urandom`."""

    __slots__ = ("_draw", "_lines")

    def __init__(self, urandom: Callable[[int], bytes] = os.urandom) -> None:
        self._draw = urandom
        self._lines: list[tuple[bytes, bytes]] = []

    def complete(self, head: RequestHead, added: list[bytes]) -> None:
        """Adds the header lines that the request lacks: x-request-id, traceparent."""
        if not self._lines:
            self._lines = self._make()
        request_id, parent = self._lines.pop()
        noted = head.noted
        if not noted:
            added += (request_id, parent)
            return
        if not head.first(REQUEST_ID):
            head.drop({REQUEST_ID})
            added.append(request_id)
        parents = noted.get(TRACEPARENT, ())
        if len(parents) != 1 or not _VALID.match(parents[0]):
            # A trace that nobody can read is begun anew, and its state with it (W3C, 3.3).
            head.drop({TRACEPARENT, TRACESTATE})
            added.append(parent)

    def _make(self) -> list[tuple[bytes, bytes]]:
        ids = [b"x-request-id: " + b"-".join(parts) for parts in self._random(_UUID)]
        parents = [b"traceparent: " + b"-".join(parts) for parts in self._random(_PARENT)]
        return list(zip(ids, parents, strict=True))

    def _random(self, layout: "_Layout") -> Iterator[tuple[bytes, ...]]:
        """Random hexadecimal digits, cut as `layout` says."""
        size = layout.cut.size
        digits = bytearray(self._draw(size * _BLOCK // 2).hex().encode())
        for at, digit in layout.fixed:
            digits[at::size] = digit * _BLOCK
        return layout.cut.iter_unpack(digits)


@dataclass(frozen=True, slots=True)
class _Layout:
    """Groups of digits, and those that are the same in each."""

    cut: Struct
    fixed: tuple[tuple[int, bytes], ...]


_UUID: Final = _Layout(Struct("8s4s4s4s12s"), ((12, b"4"), (16, b"8")))
_PARENT: Final = _Layout(Struct("2s32s16s2s"), tuple((at, b"0") for at in (0, 1, 50, 51)))
