"""Who opened a connection on loopback: the kernel tells the uid of the peer's socket.

Asked by netlink sock_diag at accept, 32 us and without privilege: SOCK_DIAG_BY_FAMILY for the exact
addresses and ports, answered before `send` returns. What can't be told is refused. Shapes:
linux/inet_diag.h, linux/sock_diag.h. Counterpart: actors.proxy.listener, kind "outbound".
"""

import errno
import logging
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from time import monotonic
from typing import Final

log = logging.getLogger(__name__)

LOG_SECONDS: Final = 10.0
"""One line about refused peers in this time, with their number."""

NO_PEER: Final = -1

_NETLINK_SOCK_DIAG: Final = 4
_SOCK_DIAG_BY_FAMILY: Final = 20
_NLMSG_ERROR: Final = 2
_NLM_F_REQUEST: Final = 1
_HEADER: Final = struct.Struct("=IHHII")  # length, type, flags, sequence, port id
_REQUEST: Final = struct.Struct("=BBBBI")  # family, protocol, extensions, padding, states
_PORTS: Final = struct.Struct("!HH")
_NO_COOKIE: Final = struct.pack("=III", 0, 0xFFFF_FFFF, 0xFFFF_FFFF)  # any interface, any socket
_STATE: Final = struct.Struct("=BBBB")  # family, state, timer, retransmits
_OWNER: Final = struct.Struct("=IIIII")  # expires, receive queue, send queue, uid, inode
_ID_BYTES: Final = 48
_ANSWER_BYTES: Final = 8_192

# A socket that somebody has open. TIME_WAIT and SYN_RECV show uid 0, a listener is not the peer.
_CONNECTED: Final = frozenset({1, 4, 5, 8, 9, 11})

Address = tuple[str, int]


class LookUpFailed(Exception):
    """The kernel does not tell; its sentence says why."""


@dataclass(frozen=True, slots=True)
class Owned:
    """What the kernel says of a socket: `state` as in TCP's, `inode` 0 when nobody has it open."""

    state: int
    uid: int
    inode: int


def question(local: Address, remote: Address, sequence: int) -> bytes:
    """Asks for the socket whose own address is `local` and whose peer is `remote`."""
    family, addresses = _family_and_addresses(local, remote)
    body = _REQUEST.pack(family, socket.IPPROTO_TCP, 0, 0, 0xFFFF_FFFF)
    body += _PORTS.pack(local[1], remote[1]) + addresses + _NO_COOKIE
    length = _HEADER.size + len(body)
    return _HEADER.pack(length, _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, sequence, 0) + body


def read_answer(answer: bytes, asked: bytes) -> Owned | None:
    """What the kernel answered to `asked`; None: there is no such socket.

    Raises LookUpFailed when it is no answer to this question, or a refusal.
    """
    try:
        _, kind, _, sequence, _ = _HEADER.unpack_from(answer)
        if sequence != _HEADER.unpack_from(asked)[3]:
            raise LookUpFailed("the kernel answered another question")
        if kind == _NLMSG_ERROR:
            _check_refusal(struct.unpack_from("=i", answer, _HEADER.size)[0])
            return None
        if kind != _SOCK_DIAG_BY_FAMILY:
            raise LookUpFailed(f"netlink message {kind} is no answer")
        _, state, _, _ = _STATE.unpack_from(answer, _HEADER.size)
        start = _HEADER.size + _STATE.size
        owner = _OWNER.unpack_from(answer, start + _ID_BYTES)
    except struct.error as error:
        raise LookUpFailed(f"a short answer of netlink: {error}") from None
    if answer[start : start + 4] != asked[_HEADER.size + _REQUEST.size :][:4]:
        return None  # a listener on the port of a socket that is gone
    return Owned(state, uid=owner[3], inode=owner[4])


class PeerUid:
    """Looks up peers' uids by one netlink socket."""

    def __init__(self) -> None:
        self._netlink: socket.socket | None = None
        self._sequence = 0

    def __call__(self, connection: socket.socket) -> int:
        """The uid of who opened the accepted `connection`, NO_PEER when nobody has it open.

        Raises LookUpFailed when the kernel does not tell.
        """
        try:
            ours, peer = connection.getsockname()[:2], connection.getpeername()[:2]
        except OSError:
            return NO_PEER
        found = self._ask(peer, ours)
        if found is None:
            # Without inet_diag the kernel finds nothing at all; our own socket it must find.
            if self._ask(ours, peer) is None and _is_open(connection):
                raise LookUpFailed("the kernel has no inet_diag for TCP")
            return NO_PEER
        if found.state not in _CONNECTED or not found.inode:
            return NO_PEER
        return found.uid

    def close(self) -> None:
        """Frees the netlink socket; it is made again when it is needed."""
        if self._netlink is not None:
            self._netlink.close()
            self._netlink = None

    def _ask(self, local: Address, remote: Address) -> Owned | None:
        self._sequence = self._sequence % 0xFFFF_FFFF + 1
        asked = question(local, remote, self._sequence)
        try:
            if self._netlink is None:
                self._netlink = _open()
            self._netlink.send(asked)
            answer = self._netlink.recv(_ANSWER_BYTES)
        except OSError as error:
            self.close()  # an answer that comes late would be taken for the next one's
            raise LookUpFailed(f"netlink sock_diag: {error.strerror or error}") from error
        return read_answer(answer, asked)


class PeerCheck:
    """Admits connections of one uid. `problem`: why nobody can be told, empty when all is well."""

    def __init__(
        self,
        uid: int,
        look_up: Callable[[socket.socket], int],
        on_problem: Callable[[str], None],
        now: Callable[[], float] = monotonic,
    ) -> None:
        """`on_problem` hears of each change of `problem`."""
        self.uid = uid
        self.problem = ""
        self.refused = 0
        self._look_up = look_up
        self._on_problem = on_problem
        self._now = now
        self._log_at = 0.0
        self._logged = 0

    def __call__(self, connection: socket.socket) -> bool:
        """Whether the accepted `connection` is of the uid."""
        try:
            uid = self._look_up(connection)
        except LookUpFailed as error:
            self.refused += 1
            self._become(f"all connections are refused, as their uid can't be told: {error}")
            return False
        self._become("")
        if uid == self.uid:
            return True
        if uid != NO_PEER:  # who has left already is refused no more
            self.refused += 1
            self._log(uid)
        return False

    def _become(self, problem: str) -> None:
        if problem != self.problem:
            self.problem = problem
            if problem:
                log.error("%s", problem)
            self._on_problem(problem)

    def _log(self, uid: int) -> None:
        if (now := self._now()) >= self._log_at:
            self._log_at = now + LOG_SECONDS
            count, self._logged = self.refused - self._logged, self.refused
            log.warning("refused: uid=%d is not uid=%d; connections=%d", uid, self.uid, count)


def _family_and_addresses(local: Address, remote: Address) -> tuple[int, bytes]:
    ips = [_unmapped(host) for host, _ in (local, remote)]
    family = socket.AF_INET6 if ips[0].version == 6 else socket.AF_INET
    return family, b"".join(ip.packed.ljust(16, b"\0") for ip in ips)


def _unmapped(host: str) -> IPv4Address | IPv6Address:
    ip = ip_address(host.partition("%")[0])
    return (ip.ipv4_mapped or ip) if isinstance(ip, IPv6Address) else ip


def _check_refusal(code: int) -> None:
    if -code != errno.ENOENT:
        raise LookUpFailed(f"netlink sock_diag: {errno.errorcode.get(-code, code)}")


def _open() -> socket.socket:
    sock = socket.socket(
        socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_SOCK_DIAG
    )
    sock.setblocking(False)  # the answer is there, or never comes
    try:
        sock.connect((0, 0))
    except OSError:
        sock.close()
        raise
    return sock


def _is_open(connection: socket.socket) -> bool:
    """Whether it was not reset meanwhile."""
    state: int = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
    return state in _CONNECTED
