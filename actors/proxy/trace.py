"""Request ids and W3C trace contexts: passed on, or made from random bytes drawn in blocks.

One `os.urandom` per request would cost as much as routing it.
"""

import os
import re
from collections.abc import Callable
from typing import Final

from tulle.actors.proxy.wire.request import REQUEST_ID, TRACEPARENT, RequestHead

TRACESTATE: Final = b"tracestate"

_BLOCK: Final = 64  # ids made at once
_DIGITS: Final = 32  # of each
_VALID = re.compile(rb"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


class Tracer:
    """Makes ids. `urandom` is a source of random bytes, as `os.urandom`."""

    __slots__ = ("_draw", "_parents", "_request_ids")

    def __init__(self, urandom: Callable[[int], bytes] = os.urandom) -> None:
        self._draw = urandom
        self._request_ids: list[tuple[bytes, bytes]] = []
        self._parents: list[tuple[bytes, bytes]] = []

    def complete(self, head: RequestHead) -> None:
        """Adds what the request lacks: x-request-id, traceparent."""
        noted = head.noted
        if not noted:
            if not self._parents or not self._request_ids:
                self._refill()
            head.headers += (self._request_ids.pop(), self._parents.pop())
            return
        if not head.first(REQUEST_ID):
            head.drop({REQUEST_ID})
            head.headers.append(self._request_id())
        parents = noted.get(TRACEPARENT, ())
        if len(parents) != 1 or not _VALID.match(parents[0]):
            # A trace that nobody can read is begun anew, and its state with it (W3C, 3.3).
            head.drop({TRACEPARENT, TRACESTATE})
            head.headers.append(self._parent())

    def _request_id(self) -> tuple[bytes, bytes]:
        if not self._request_ids:
            self._refill()
        return self._request_ids.pop()

    def _parent(self) -> tuple[bytes, bytes]:
        if not self._parents:
            self._refill()
        return self._parents.pop()

    def _refill(self) -> None:
        ids = self._random_ids()
        self._request_ids = [
            (REQUEST_ID, b"%b-%b-4%b-8%b-%b" % (h[:8], h[8:12], h[12:15], h[15:18], h[18:30]))
            for h in ids
        ]
        spans = self._random_ids()
        self._parents = [
            (TRACEPARENT, b"00-%b-%b-00" % (h, span[:16]))
            for h, span in zip(self._random_ids(), spans, strict=True)
        ]

    def _random_ids(self) -> list[bytes]:
        digits = self._draw(_BLOCK * _DIGITS // 2).hex().encode()
        return [digits[at : at + _DIGITS] for at in range(0, len(digits), _DIGITS)]
