"""Header lines that were parsed before: connections say the same few lines again and again.

A known line needs no parser: whether a line is a header does not depend on the lines around it, and
what it means together with them is checked anew for each head. Lines that are not known go to
llhttp, in a head of their own. (HTTP/2 has this idea in its wire format.)
"""

from typing import Final

Field = tuple[bytes, bytes]  # name in lower case, value without surrounding blanks

LINES: Final = 4_096  # remembered; then all are forgotten, and the common ones soon known again
LINE_BYTES: Final = 256
# Secrets of others don't stay in memory (a sidecar's own credential does anyway), ids don't come
# again, and some lines depend on others to be right.
_NEVER: Final = frozenset(
    {
        b"authorization",
        b"cookie",
        b"set-cookie",
        b"te",
        b"traceparent",
        b"tracestate",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"x-request-id",
    }
)
_PLAIN_OPTIONS: Final = (b"keep-alive", b"close")  # of Connection


class KnownLines:
    """`kept` are lines of headers to forward, `aside` of those that concern us; by their bytes."""

    __slots__ = ("aside", "kept")

    def __init__(self) -> None:
        self.kept: dict[bytes, Field] = {}
        self.aside: dict[bytes, Field] = {}

    def learn(self, line: bytes, field: Field, aside: bool) -> None:
        """Remembers a line that llhttp took for `field`."""
        name, value = field
        if name in _NEVER or len(line) > LINE_BYTES:
            return
        if name == b"connection" and value.lower() not in _PLAIN_OPTIONS:
            return
        if len(self.kept) + len(self.aside) >= LINES:
            self.kept.clear()
            self.aside.clear()
        (self.aside if aside else self.kept)[line] = field
