"""Header lines that were parsed before: connections say the same few lines again and again.

A known line needs no parser: whether a line is a header does not depend on the lines around it, and
what it means together with them is checked anew for each head. Lines that are not known go to
llhttp, in a head of their own. (HTTP/2 has this idea in its wire format.) Of lines that are all
known and come together again, what they mean together is known as well (`Memo`).
"""

from typing import Final, Generic, TypeVar

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
MEMO_BYTES: Final = 2_048  # of one key
MEMO_KEYS: Final = 512
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


T = TypeVar("T")


class Memo(Generic[T]):
    """What bytes were found to mean, in `found`: so many of so many bytes at most.

    When it is full all are forgotten, and the common ones soon known again.
    """

    __slots__ = ("_keys", "_size", "found")

    def __init__(self, keys: int = MEMO_KEYS, size: int = MEMO_BYTES) -> None:
        self._keys = keys
        self._size = size
        self.found: dict[bytes, T] = {}

    def learn(self, key: bytes, meaning: T) -> None:
        """Remembers it, unless `key` is too long."""
        if len(key) <= self._size:
            if len(self.found) >= self._keys:
                self.found.clear()
            self.found[key] = meaning
