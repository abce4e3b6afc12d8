"""Between a holder and its proxies: messages as JSON lines, sockets as SCM_RIGHTS beside them.

Counterparts: actors.holding.holder and actors.holding.client, each with one `Channel` per
connection. Messages and their fields: docs/contracts.md, "holding".
"""

import array
import asyncio
import json
import logging
import os
import socket
import struct
from collections import deque
from collections.abc import Callable, Mapping

LINE_LIMIT = 65_536
OUTGOING_LIMIT = 256  # messages; a counterpart that reads none is gone
FDS_PER_READ = 16
PATH_LIMIT = 107  # sockaddr_un

Value = str | int | bool
Message = Mapping[str, Value]

log = logging.getLogger(__name__)


class WireError(Exception):
    """The counterpart sent what is no message; the connection is closed."""


def encode(message: Message) -> bytes:
    """One line, newline included. Raises WireError when it is over LINE_LIMIT bytes."""
    line = json.dumps(message, separators=(",", ":")).encode() + b"\n"
    if len(line) > LINE_LIMIT:
        raise WireError(f"a message of {len(line)} bytes: {LINE_LIMIT} are allowed")
    return line


def decode(line: bytes) -> dict[str, Value]:
    """The message of one line. Raises WireError."""
    try:
        found = json.loads(line)
    except ValueError as e:
        raise WireError(f"not JSON: {line[:80]!r}") from e
    if not isinstance(found, dict):
        raise WireError(f"not a JSON object: {line[:80]!r}")
    if not all(isinstance(value, str | int | bool) for value in found.values()):
        raise WireError(f"only strings, integers and booleans are allowed: {line[:80]!r}")
    return found


def text(message: Message, field: str) -> str:
    """The field, which must be a string. Raises WireError."""
    value = message.get(field)
    if not isinstance(value, str):
        raise WireError(f"field {field!r}: a string is needed, not {value!r}")
    return value


def peer_uid(sock: socket.socket) -> int:
    """The uid of the process at the other end of a unix stream socket."""
    credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, uid, _ = struct.unpack("3i", credentials)
    assert isinstance(uid, int)
    return uid


def number(message: Message, field: str) -> int:
    """The field, which must be an integer. Raises WireError."""
    value = message.get(field)
    if not isinstance(value, int) or isinstance(value, bool):
        raise WireError(f"field {field!r}: an integer is needed, not {value!r}")
    return value


def check_path(path: str) -> None:
    """Raises ValueError when no unix socket can have this path."""
    if len(os.fsencode(path)) > PATH_LIMIT:
        raise ValueError(f"{path}: a socket's path may have {PATH_LIMIT} bytes at most")


class Channel:
    """One connection, on the loop's readers and writers: no transport of asyncio passes sockets.

    `on_message` gets each message; `take_fd()` within it gives the descriptor that came with it
    (in the order of their messages), to be closed by the taker. `on_closed` is called once, with
    the reason, when the counterpart is gone or broke the rules; never after `close()`.
    """

    def __init__(
        self,
        sock: socket.socket,
        on_message: Callable[[dict[str, Value]], None],
        on_closed: Callable[[str], None],
    ) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._loop = asyncio.get_running_loop()
        self._on_message = on_message
        self._on_closed = on_closed
        self._incoming = b""
        self._fds: deque[int] = deque()
        self._outgoing: deque[tuple[bytes, int | None]] = deque()
        self._loop.add_reader(sock.fileno(), self._readable)

    @property
    def closed(self) -> bool:
        """Whether this side has closed, by itself or because the other is gone."""
        return self._sock.fileno() < 0

    def take_fd(self) -> int | None:
        """The oldest descriptor that came and was not taken yet."""
        return self._fds.popleft() if self._fds else None

    def send(self, message: Message, passing: socket.socket | None = None) -> None:
        """Sends as soon as possible; nothing when closed. `passing` may be closed at once."""
        if self.closed:
            return
        if len(self._outgoing) >= OUTGOING_LIMIT:
            self._fail("the counterpart reads nothing")
            return
        fd = None if passing is None else os.dup(passing.fileno())
        self._outgoing.append((encode(message), fd))
        if len(self._outgoing) == 1:
            self._flush()
            if self._outgoing and not self.closed:
                self._loop.add_writer(self._sock.fileno(), self._writable)

    def close(self) -> None:
        """Closes, with all descriptors that are still here; no more callbacks."""
        if self.closed:
            return
        self._loop.remove_reader(self._sock.fileno())
        self._loop.remove_writer(self._sock.fileno())
        self._sock.close()
        for fd in [*self._fds, *(fd for _, fd in self._outgoing if fd is not None)]:
            os.close(fd)
        self._fds.clear()
        self._outgoing.clear()

    def _fail(self, reason: str) -> None:
        if not self.closed:
            self.close()
            self._on_closed(reason)

    def _writable(self) -> None:
        self._flush()
        if not self.closed and not self._outgoing:
            self._loop.remove_writer(self._sock.fileno())

    def _flush(self) -> None:
        while self._outgoing:
            line, fd = self._outgoing[0]
            try:
                sent = socket.send_fds(self._sock, [line], [] if fd is None else [fd])
            except (BlockingIOError, InterruptedError):
                return
            except OSError as e:
                # Not from within send(): its caller does not expect to be called back.
                self._loop.call_soon(self._fail, f"writing: {e.strerror}")
                return
            if fd is not None:
                os.close(fd)
            if sent < len(line):
                self._outgoing[0] = (line[sent:], None)
                return
            self._outgoing.popleft()

    def _readable(self) -> None:
        try:
            data, fds, flags = _receive(self._sock)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as e:
            self._fail(f"reading: {e.strerror}")
            return
        self._fds.extend(fds)
        if not data or flags & socket.MSG_CTRUNC:
            self._fail("the other process is gone" if not data else "too many descriptors")
            return
        self._incoming += data
        self._deliver()
        if len(self._incoming) > LINE_LIMIT:
            self._fail(f"a line of more than {LINE_LIMIT} bytes")

    def _deliver(self) -> None:
        while not self.closed and b"\n" in self._incoming:
            line, self._incoming = self._incoming.split(b"\n", 1)
            try:
                self._on_message(decode(line))
            except WireError as e:
                log.warning("holder socket: %s", e)
                self._fail(str(e))


def _receive(sock: socket.socket) -> tuple[bytes, list[int], int]:
    """Bytes, descriptors (closed on exec) and flags; `socket.recv_fds` drops the flag for that."""
    fds = array.array("i")
    space = socket.CMSG_SPACE(FDS_PER_READ * fds.itemsize)
    data, ancillary, flags, _ = sock.recvmsg(LINE_LIMIT, space, socket.MSG_CMSG_CLOEXEC)
    for level, kind, payload in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(payload[: len(payload) - len(payload) % fds.itemsize])
    return data, list(fds), flags
