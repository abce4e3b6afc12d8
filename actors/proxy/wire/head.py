"""Finds and parses the head of a message; what requests and responses have in common.

llhttp (through httptools, strict) sees heads only, and of each exactly the bytes up to its empty
line. Bodies are framed by `wire.body`, so one piece of code decides where a message ends.
"""

from typing import Final

import httptools

from tulle.policies.reasons import BAD_REQUEST, HEAD_TOO_LARGE, TOO_MANY_HEADERS, Reason

HEAD_BYTES: Final = 65_536
HEADERS: Final = 200
BLANK_BYTES: Final = 16  # of CR and LF before a message

Headers = list[tuple[bytes, bytes]]

CRLF: Final = b"\r\n"
_END: Final = b"\r\n\r\n"
_CR_OR_LF: Final = (0x0D, 0x0A)


class Refused(Exception):
    """A message that is not forwarded. `reason` is for requests; responses have one reason."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(detail or reason.sentence)
        self.reason = reason


class HeadReader:
    """Feeds a parser with the bytes of one head at a time; subclasses make sense of it.

    `_head` is what came of a head that is not complete; `_lines` are those of the one that is, the
    last two empty. Subclasses count in `_count` the headers that the parser tells them.
    """

    __slots__ = ("_blank", "_count", "_head", "_lines", "_parser")

    _parser: httptools.HttpRequestParser | httptools.HttpResponseParser

    def __init__(self) -> None:
        self._head = b""
        self._lines: list[bytes] = []
        self._blank = 0
        self._count = 0

    def _take_head(self, data: bytes) -> bytes | None:
        """Parses the head's bytes in `data`. Returns what comes after it, None while it goes on.

        Raises Refused, also for what httptools finds wrong.
        """
        seen = 0
        if self._head:
            seen = len(self._head)
            data = self._head + data
        elif data[0] in _CR_OR_LF:
            data = self._skip_blank(data)
        end = data.find(_END, seen - 3 if seen > 3 else 0) + 4
        head = data if end == len(data) or end < 4 else data[:end]
        if len(head) > HEAD_BYTES:
            raise Refused(HEAD_TOO_LARGE)
        try:
            self._parser.feed_data(head[seen:] if seen else head)
        except httptools.HttpParserUpgrade:
            self._refuse_upgrade()
        except httptools.HttpParserError as error:
            raise Refused(BAD_REQUEST, str(error)) from error
        if end < 4:
            self._head = head
            return None
        self._lines = lines = head.split(CRLF)
        # Each header is one line: llhttp and we agree where the head ends, or it is refused.
        count = self._count
        if len(lines) != count + 3:
            raise Refused(BAD_REQUEST, "the head's end is not where its headers end")
        if count > HEADERS:
            raise Refused(TOO_MANY_HEADERS)
        self._head = b""
        self._blank = self._count = 0
        return data[end:]

    def _skip_blank(self, data: bytes) -> bytes:
        """RFC 9112, 2.2: empty lines before a message are ignored, here a few of them."""
        rest = data.lstrip(b"\r\n")
        self._blank += len(data) - len(rest)
        if self._blank > BLANK_BYTES:
            raise Refused(BAD_REQUEST, "a flood of empty lines")
        return rest

    def _refuse_upgrade(self) -> None:
        raise Refused(BAD_REQUEST, "the protocol can't change")


def named_by_connection(values: list[bytes]) -> set[bytes]:
    """The options of the Connection headers `values`, lower case."""
    return {option.strip().lower() for value in values for option in value.split(b",")}
