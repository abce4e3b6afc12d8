"""Finds and parses the head of a message; what requests and responses have in common.

llhttp (through httptools, strict) sees heads only, and of each exactly the bytes up to its empty
line. Bodies are framed by `wire.body`, so one piece of code decides where a message ends.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
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

Parser = TypeVar("Parser", httptools.HttpRequestParser, httptools.HttpResponseParser)


class Refused(Exception):
    """A message that is not forwarded. `reason` is for requests; responses have one reason."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(detail or reason.sentence)
        self.reason = reason


class HeadReader(ABC, Generic[Parser]):
    """Reads one head at a time, by what is known of its lines and by a parser.

    Subclasses say in `known` where lines are remembered, and keep what of a head they need.
    """

    __slots__ = ("_blank", "_clean", "_fields", "_head", "_known", "_make", "_parser", "_probe")

    def __init__(self, make: Callable[[object], Parser], known: KnownLines, probe: bytes) -> None:
        """`probe` is the first line of a message that never has a body."""
        self._make: Callable[[object], Parser] = make
        self._known = known
        self._probe = probe
        self._parser: Parser = make(self)
        self._clean = True  # the parser is where a message may begin
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
    def _keep(self, start: bytes, lines: list[bytes], headers: Headers, aside: Headers) -> None:
        """Takes a head: its first line, the lines to forward, what they say, other headers."""

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
            self._clean = False
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
        if len(lines) > HEADERS:
            raise Refused(TOO_MANY_HEADERS)
        kept, aside = self._known.kept, self._known.aside
        told = zip(lines, self._told(len(lines)), strict=True)
        self._sort(
            start, lines, [it for line, it in told if line not in kept and line not in aside]
        )
        return data[end:]

    def _ask(self, start: bytes, lines: list[bytes]) -> None:
        """Takes a head of which some lines are not known: those alone go to the parser."""
        kept, aside = self._known.kept, self._known.aside
        unknown = [line for line in lines if line not in kept and line not in aside]
        if not self._clean:
            self._parser = self._make(self)
            self._clean = True
        self._feed(self._probe + _LINE.join(unknown) + _END)
        self._sort(start, lines, self._told(len(unknown)))

    def _told(self, count: int) -> Headers:
        """The headers that the parser told: each is one line, or the head is refused."""
        fields, self._fields = self._fields, []
        if len(fields) != count:
            raise Refused(BAD_REQUEST, "the head's end is not where its headers end")
        return fields

    def _sort(self, start: bytes, lines: list[bytes], fields: Headers) -> None:
        """Takes a head; `fields` are what its lines say that are not known, in order."""
        kept, aside = self._known.kept, self._known.aside
        told = iter(fields)
        forwarded: list[bytes] = []
        headers: Headers = []
        others: Headers = []
        news: list[tuple[bytes, Field, bool]] = []
        for line in lines:
            if (field := kept.get(line)) is not None:
                forwarded.append(line)
                headers.append(field)
            elif (field := aside.get(line)) is not None:
                others.append(field)
            else:
                field = next(told)
                is_aside = self._is_aside(field[0])
                news.append((line, field, is_aside))
                if is_aside:
                    others.append(field)
                    self._clean = False  # it may tell of a body, or of the connection's end
                else:
                    forwarded.append(line)
                    headers.append(field)
        for line, field, is_aside in news:  # now: a line may be there twice
            self._known.learn(line, field, is_aside)
        self._keep(start, forwarded, headers, others)

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
