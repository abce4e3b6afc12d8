"""Finds and parses the head of a message; what requests and responses have in common.

llhttp (through httptools, strict) sees heads only, and of each exactly the bytes up to its empty
line. Bodies are framed by `wire.body`, so one piece of code decides where a message ends.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Final, Generic, TypeVar

import httptools

from tulle.actors.proxy.wire.known import Field
from tulle.policies.reasons import BAD_REQUEST, HEAD_TOO_LARGE, TOO_MANY_HEADERS, Reason

HEAD_BYTES: Final = 65_536
HEADERS: Final = 200
BLANK_BYTES: Final = 16  # of CR and LF before a message

Headers = list[Field]

_LINE: Final = b"\r\n"
_END: Final = b"\r\n\r\n"

Parser = TypeVar("Parser", httptools.HttpRequestParser, httptools.HttpResponseParser)


class Refused(Exception):
    """A message that is not forwarded. `reason` is for requests; responses have one reason."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(detail or reason.sentence)
        self.reason = reason


class HeadReader(ABC, Generic[Parser]):
    """Reads one head at a time, by what is known of its lines or by a parser.

    Subclasses keep what of a head they need; `_aside` are its headers that are not forwarded.
    """

    __slots__ = ("_aside", "_blank", "_fields", "_head", "_make", "_parser")

    def __init__(self, make: Callable[[object], Parser]) -> None:
        self._make: Callable[[object], Parser] = make
        self._parser: Parser = make(self)
        self._fields: Headers = []  # as the parser tells them
        self._head = b""  # what came of a head that is not complete
        self._blank = 0  # bytes skipped before it
        self._aside: Headers = []

    @property
    def mid_head(self) -> bool:
        """A head has begun and is not complete."""
        return bool(self._head or self._blank)

    @abstractmethod
    def _recall(self, lines: list[bytes]) -> bool:
        """Takes a head of known lines, the first one apart; False: it has others."""

    @abstractmethod
    def _sort(self, start: bytes, lines: list[bytes], fields: Headers) -> None:
        """Takes a head that was parsed: its first line, its header lines, what those say."""

    def _take_head(self, data: bytes) -> bytes | None:
        """Takes the head's bytes in `data`. Returns what comes after it, None while it goes on.

        Raises Refused, also for what httptools finds wrong.
        """
        if not self._head:
            head, end, rest = data.partition(_END)
            if end and self._recall(head.split(_LINE)):
                self._blank = 0
                return rest
        return self._parse_head(data)

    def _parse_head(self, data: bytes) -> bytes | None:
        seen = len(self._head)
        if not seen and data[:1] in (b"\r", b"\n"):
            data = self._skip_blank(data)
            if not data:
                return None
        if not seen:
            # The one before may wait for a body, which no parser gets to see.
            self._parser = self._make(self)
        data = self._head + data
        end = data.find(_END, max(0, seen - 3)) + 4
        head = data[:end] if end > 3 else data
        if len(head) > HEAD_BYTES:
            raise Refused(HEAD_TOO_LARGE)
        self._feed(head[seen:])
        if end <= 3:
            self._head = head
            return None
        self._head = b""
        self._blank = 0
        start, *lines = head[:-4].split(_LINE)
        fields, self._fields = self._fields, []
        # Each header is one line: llhttp and we agree where the head ends, or it is refused.
        if len(lines) != len(fields):
            raise Refused(BAD_REQUEST, "the head's end is not where its headers end")
        if len(fields) > HEADERS:
            raise Refused(TOO_MANY_HEADERS)
        self._sort(start, lines, fields)
        return data[end:]

    def _feed(self, piece: bytes) -> None:
        try:
            self._parser.feed_data(piece)
        except httptools.HttpParserUpgrade:
            self._refuse_upgrade()
        except httptools.HttpParserError as error:
            raise Refused(BAD_REQUEST, str(error)) from error

    def _skip_blank(self, data: bytes) -> bytes:
        """RFC 9112, 2.2: empty lines before a message are ignored, here a few of them."""
        rest = data.lstrip(b"\r\n")
        self._blank += len(data) - len(rest)
        if self._blank > BLANK_BYTES:
            raise Refused(BAD_REQUEST, "a flood of empty lines")
        return rest

    def _refuse_upgrade(self) -> None:
        raise Refused(BAD_REQUEST, "the protocol can't change")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by httptools."""
        self._fields.append((name.lower(), value.rstrip()))


def named_by_connection(values: list[bytes]) -> set[bytes]:
    """The options of the Connection headers `values`, lower case."""
    return {option.strip().lower() for value in values for option in value.split(b",")}
