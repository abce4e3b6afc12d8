"""Finds and parses the head of a message; what requests and responses have in common.

llhttp (through httptools, strict) sees heads only, and of each exactly the bytes up to its empty
line. Bodies are framed by `wire.body`, so one piece of code decides where a message ends.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from itertools import compress
from typing import Final, Generic, TypeVar

import httptools

from tulle.actors.proxy.wire.known import Field, KnownLines
from tulle.policies.reasons import BAD_REQUEST, HEAD_TOO_LARGE, TOO_MANY_HEADERS, Reason

HEAD_BYTES: Final = 65_536
HEADERS: Final = 200
BLANK_BYTES: Final = 16  # of CR and LF before a message

Headers = list[Field]

_LINE: Final = b"\r\n"
_END: Final = b"\r\n\r\n"
# RFC 9110, 5.5 and 5.6.2: a token, and visible characters between blanks.
_FIELD: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):([\t\x20-\x7e\x80-\xff]*)").fullmatch
_PARSED: Final = frozenset({b"connection", b"proxy-connection", b"transfer-encoding", b"upgrade"})
_CHUNKED: Final = (b"transfer-encoding", b"chunked")

Parser = TypeVar("Parser", httptools.HttpRequestParser, httptools.HttpResponseParser)


class Sorted:
    """The headers of a head: to forward, and those set `aside`. `news`: not all were known."""

    __slots__ = ("_fields", "_lines", "aside", "news")

    def __init__(
        self, lines: list[bytes], fields: list[Field | None], aside: Headers, news: bool
    ) -> None:
        """`fields` are what `lines` say, None for those that are in `aside`."""
        self._lines = lines
        self._fields = fields
        self.aside = aside
        self.news = news

    @property
    def lines(self) -> list[bytes]:
        """Those to forward, as they came."""
        return [*compress(self._lines, self._fields)]

    @property
    def headers(self) -> Headers:
        """What these say."""
        return [*filter(None, self._fields)]


class Refused(Exception):
    """A message that is not forwarded. `reason` is for requests; responses have one reason."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(detail or reason.sentence)
        self.reason = reason


class HeadReader(ABC, Generic[Parser]):
    """Reads one head at a time, by what is known of its lines and by a parser.

    Subclasses say in `known` where lines are remembered, and keep what of a head they need.
    """

    __slots__ = ("_blank", "_fields", "_head", "_known", "_make", "_parser")

    def __init__(self, make: Callable[[object], Parser], known: KnownLines) -> None:
        self._make: Callable[[object], Parser] = make
        self._known = known
        self._parser: Parser | None = None  # of the head that goes on
        self._fields: Headers = []  # as the parser tells them
        self._head = b""  # what came of a head that is not complete
        self._blank = 0  # bytes skipped before it

    @property
    def mid_head(self) -> bool:
        """A head has begun and is not complete."""
        return bool(self._head or self._blank)

    @abstractmethod
    def _recall(self, head: bytes) -> bool:
        """Takes a head by what is known of it; False: a parser has to read it all."""

    @abstractmethod
    def _is_aside(self, name: bytes) -> bool:
        """Whether a header (lower case) concerns us, and is not forwarded as it comes."""

    @abstractmethod
    def _keep(self, start: bytes, sorted_lines: Sorted) -> None:
        """Takes a head that the parser has read: its first line, the others sorted."""

    def _take_head(self, data: bytes) -> bytes | None:
        """Takes the head's bytes in `data`. Returns what comes after it, None while it goes on.

        Raises Refused, also for what httptools finds wrong.
        """
        if not self._head:
            head, end, rest = data.partition(_END)
            if end and self._recall(head):
                self._blank = 0
                return rest
        return self._parse_head(data)

    def _parse_head(self, data: bytes) -> bytes | None:
        seen = len(self._head)
        if not seen:
            if data[:1] in (b"\r", b"\n"):
                data = self._skip_blank(data)
                if not data:
                    return None
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
        self._parser = None
        start, *lines = head[:-4].split(_LINE)
        if len(lines) > HEADERS:
            raise Refused(TOO_MANY_HEADERS)
        self._keep(start, self._told(lines))
        return data[end:]

    def _told(self, lines: list[bytes]) -> Sorted:
        """What the parser told of `lines`: each is one header, or the head is refused."""
        told, self._fields = self._fields, []
        if len(told) != len(lines):
            raise Refused(BAD_REQUEST, "the head's end is not where its headers end")
        aside: Headers = []
        fields = [self._sort(line, field, aside) for line, field in zip(lines, told, strict=True)]
        return Sorted(lines, fields, aside, True)

    def _read_lines(self, lines: list[bytes]) -> Sorted | None:
        """Sorts lines that are known, or plain; None: a parser has to read them."""
        fields = [*map(self._known.kept.get, lines)]
        aside: Headers = []
        news = False
        for at, field in enumerate(fields):
            if field is None:
                line = lines[at]
                field = self._known.aside.get(line)
                if field is not None:
                    aside.append(field)
                    continue
                field = read_line(line)
                if field is None:
                    return None
                news = True
                fields[at] = self._sort(line, field, aside)
        return Sorted(lines, fields, aside, news)

    def _sort(self, line: bytes, field: Field, aside: Headers) -> Field | None:
        """Remembers a line, and puts it `aside` or returns it."""
        is_aside = self._is_aside(field[0])
        self._known.learn(line, field, is_aside)
        if is_aside:
            aside.append(field)
            return None
        return field

    def _feed(self, piece: bytes) -> None:
        assert self._parser is not None
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


def read_line(line: bytes) -> Field | None:
    """A header line that needs no parser: well-formed, and of no effect on where messages end.

    But for what our own code checks: one Content-Length, or one Transfer-Encoding, chunked.
    """
    match = _FIELD(line)
    if match is None:
        return None
    name, value = match[1].lower(), match[2].strip()
    field = (name, value)
    return None if name in _PARSED and field != _CHUNKED else field


def named_by_connection(values: list[bytes]) -> set[bytes]:
    """The options of the Connection headers `values`, lower case."""
    return {option.strip().lower() for value in values for option in value.split(b",")}
