"""Frames of a TCP tunnel between two sidecars, inside mTLS: length (4 bytes, big-endian), bytes.

An empty frame is the end of its direction: asyncio's TLS can't half-close, nor tell an end from a
cut. The first frame each way is a greeting. Counterparts: ends.py, connect.py, inbound_tcp.py.
"""

import struct
from dataclasses import dataclass
from typing import Final

GREETING_BYTES: Final = 512
ACCEPTED: Final = b"ok"
END: Final = bytes(4)
_LENGTH: Final = struct.Struct("!I")
_WORKLOAD_BYTES: Final = 300
_LONGEST_IDLE: Final = 2**31


class FrameError(ValueError):
    """Not what a sidecar of the mesh sends."""


def frame_head(count: int) -> bytes:
    """What goes before `count` bytes; `count` is not 0."""
    return _LENGTH.pack(count)


def frame(data: bytes) -> bytes:
    """`data`, not empty, as one frame."""
    return _LENGTH.pack(len(data)) + data


@dataclass(frozen=True, slots=True)
class Greeting:
    """What the opening sidecar says of itself: its workload's id, which labels alone, and after
    how many seconds without a byte the tunnel ends (0: never)."""

    workload: str
    idle_seconds: float

    def encode(self) -> bytes:
        """As the payload of its frame."""
        return f"{self.workload} {round(self.idle_seconds * 1_000)}".encode()

    @classmethod
    def decode(cls, payload: bytes) -> "Greeting":
        """Raises FrameError."""
        workload, space, idle = payload.partition(b" ")
        if not space or not idle.isdigit() or len(idle) > 10 or len(workload) > _WORKLOAD_BYTES:
            raise FrameError(f"no greeting: {payload[:80]!r}")
        return cls(workload.decode("latin-1"), min(int(idle), _LONGEST_IDLE) / 1_000)


def split_greeting(data: bytes) -> tuple[bytes, bytes] | None:
    """The first frame's payload and what follows; None: it is not complete. Raises FrameError."""
    if len(data) < _LENGTH.size:
        return None
    (count,) = _LENGTH.unpack_from(data)
    if not 0 < count <= GREETING_BYTES:
        raise FrameError(f"a greeting of {count} bytes")
    end = _LENGTH.size + count
    return (data[_LENGTH.size : end], data[end:]) if len(data) >= end else None


class FrameReader:
    """Takes frames apart as they come; nothing is kept but an incomplete length."""

    __slots__ = ("_head", "_left", "ended")

    def __init__(self) -> None:
        self.ended = False
        self._left = 0
        self._head = b""

    def feed(self, data: bytes) -> list[bytes]:
        """The bytes that `data` carries; FrameError: bytes after the end."""
        pieces: list[bytes] = []
        start, size = 0, len(data)
        while start < size:
            if self._left:
                piece = data[start : start + self._left]
                pieces.append(piece)
                start += len(piece)
                self._left -= len(piece)
                continue
            if self.ended:
                raise FrameError("bytes after the end")
            head = self._head + data[start : start + _LENGTH.size - len(self._head)]
            start += len(head) - len(self._head)
            self._head = head
            if len(head) == _LENGTH.size:
                (self._left,) = _LENGTH.unpack(head)
                self._head = b""
                self.ended = not self._left
        return pieces
