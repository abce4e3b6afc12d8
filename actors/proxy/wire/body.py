"""Where a message's body ends: lengths, and the chunked coding read and written.

Readers hand body bytes on without copying where they can; writers frame them anew, so that nothing
of the sender's framing (extensions, trailers, odd sizes) reaches the next party.
"""

import re
from typing import Final

from tulle.actors.proxy.wire.head import Refused
from tulle.policies.reasons import BAD_REQUEST

# A body's length: its bytes, or one of these.
CHUNKED: Final = -1
UNTIL_CLOSE: Final = -2

LINE_BYTES: Final = 256  # of a chunk's size line
EXTENSION_BYTES: Final = 4_096  # of all chunk extensions of a body
TRAILER_BYTES: Final = 8_192

LAST_CHUNK: Final = b"0\r\n\r\n"
_CRLF: Final = b"\r\n"
_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})(;[\t\x20-\x7e\x80-\xff]*)?")
_TRAILER = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*")
LENGTH_DIGITS: Final = 18


def parse_length(value: bytes, before: int | None = None) -> int:
    """The length that a Content-Length header says. Refused when it is none, or not the first.

    `before`: what an earlier one said.
    """
    if before is not None or not value.isdigit() or len(value) > LENGTH_DIGITS:
        raise Refused(BAD_REQUEST, "Content-Length must be one number")
    return int(value)


def require_chunked(value: bytes, minor: int, before: bool) -> None:
    """Refuses a Transfer-Encoding that is not exactly `chunked`, and any on HTTP/1.0.

    `before`: there was one before it.
    """
    if before or minor < 1 or value.lower() != b"chunked":
        raise Refused(BAD_REQUEST, "Transfer-Encoding must be chunked, in HTTP/1.1")


def chunk_head(size: int) -> bytes:
    """The line before a chunk of `size` > 0 bytes, which is followed by CRLF."""
    return b"%x\r\n" % size


# Phases. Not an enum: its members cost a search per look.
_SIZE: Final = 0
_DATA: Final = 1
_DATA_END: Final = 2
_TRAILERS: Final = 3


class ChunkReader:
    """Decodes one chunked body. Extensions and trailers are checked, bounded and dropped."""

    __slots__ = ("_extension", "_held", "_left", "_phase", "_trailer")

    def __init__(self) -> None:
        self._phase = _SIZE
        self._held = b""  # the beginning of a line
        self._left = 0
        self._extension = 0
        self._trailer = 0

    def feed(self, data: bytes) -> tuple[bytes, bytes | None]:
        """The body's bytes in `data`, and what comes after the body (None while it goes on)."""
        pieces: list[bytes] = []
        if self._held:
            data, self._held = self._held + data, b""
        at = 0
        while True:
            if self._phase == _DATA:
                if piece := data[at : at + self._left]:
                    pieces.append(piece)
                    at += len(piece)
                    self._left -= len(piece)
                if self._left:
                    return _joined(pieces), None
                self._phase = _DATA_END
            end = data.find(_CRLF, at)
            if end < 0:
                self._hold(data[at:])
                return _joined(pieces), None
            if self._line(data[at:end]):
                return _joined(pieces), data[end + 2 :]
            at = end + 2

    def _hold(self, line: bytes) -> None:
        limit = TRAILER_BYTES if self._phase == _TRAILERS else LINE_BYTES
        if len(line) > limit or (self._phase == _DATA_END and len(line) > 1):
            raise Refused(BAD_REQUEST, "a chunk's line is too long")
        self._held = line

    def _line(self, line: bytes) -> bool:
        """Takes one line; True when it was the body's last."""
        if self._phase == _SIZE:
            self._size_line(line)
        elif self._phase == _DATA_END:
            if line:
                raise Refused(BAD_REQUEST, "a chunk is longer than its size")
            self._phase = _SIZE
        else:
            return self._trailer_line(line)
        return False

    def _size_line(self, line: bytes) -> None:
        match = _SIZE_LINE.fullmatch(line)
        if match is None or len(line) > LINE_BYTES:
            raise Refused(BAD_REQUEST, "not a chunk's size")
        self._extension += len(match[2] or b"")
        if self._extension > EXTENSION_BYTES:
            raise Refused(BAD_REQUEST, "too many chunk extensions")
        self._left = int(match[1], 16)
        self._phase = _DATA if self._left else _TRAILERS

    def _trailer_line(self, line: bytes) -> bool:
        self._trailer += len(line)
        if self._trailer > TRAILER_BYTES or (line and not _TRAILER.fullmatch(line)):
            raise Refused(BAD_REQUEST, "not a trailer, or too many")
        return not line


def _joined(pieces: list[bytes]) -> bytes:
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)
