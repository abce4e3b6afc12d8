"""The listening sockets of one address: one per proxy of a pool, all with SO_REUSEPORT.

Counterpart: actors.holding.holder, which says whose proxy is there. Connections go to members
that are served; to all of them when none is, where they wait in the backlog.
"""

import errno
import socket
from dataclasses import dataclass, field

from tulle.actors.holding import steering

MAX_MEMBERS = 64
BACKLOG = 4_096


class PortError(Exception):
    """A listening socket can't be opened: which port, and why."""


class NoSuchAddress(PortError):
    """It can't, at any port: this machine has no such address."""


@dataclass(slots=True, eq=False)
class Member:
    """A socket and the proxy that it is for.

    `served`: that proxy is there and accepts. `leaving`: it is on its way out of the group, for
    no proxy to have it again.
    """

    proxy: str
    sock: socket.socket
    served: bool = False
    leaving: bool = False


@dataclass(slots=True, eq=False)
class Group:
    """The sockets of (`owner`: pool or proxy, `name`). `port` 0: not chosen yet."""

    owner: str
    name: str
    address: str
    port: int
    members: list[Member] = field(default_factory=list)  # in the kernel's order
    _steered: bool = False

    def open(self, proxy: str) -> Member:
        """A new member, not served yet. Raises PortError."""
        if len(self.members) >= MAX_MEMBERS:
            raise PortError(f"port {self.port}: {MAX_MEMBERS} proxies share it already")
        sock = open_listening(self.address, self.port, shared=bool(self.members))
        self.port = sock.getsockname()[1]
        member = Member(proxy, sock)
        self.members.append(member)
        self.steer()
        return member

    def member_of(self, proxy: str) -> Member | None:
        """The socket that is kept for this proxy."""
        kept = (m for m in self.members if m.proxy == proxy and not m.leaving)
        return next(kept, None)

    def steer(self) -> None:
        """Brings the kernel's program in line with who is served now."""
        self._steer_to([i for i, member in enumerate(self.members) if member.served])

    def remove(self, member: Member) -> None:
        """Takes it out of the kernel's group and closes it; what its queue still has is reset.

        By `shutdown`, not `close`: the proxy has a copy, and the order of the group must change
        now and not when that copy goes.
        """
        last = len(self.members) - 1
        served = [i for i, other in enumerate(self.members) if other.served and other is not member]
        # Between the removal and the next program the last index names nothing.
        self._steer_to([i for i in served if i != last] or served)
        self.members = steering.order_without(self.members, member)
        member.sock.shutdown(socket.SHUT_RD)
        if not self.members:
            self._steered = False
        self.steer()
        member.sock.close()

    def _steer_to(self, indexes: list[int]) -> None:
        if not self.members:
            return
        sock = self.members[0].sock
        if indexes and len(indexes) < len(self.members):
            steering.attach(sock, steering.pick_among(indexes))
            self._steered = True
        elif self._steered:
            steering.detach(sock)
            self._steered = False


def open_listening(address: str, port: int, shared: bool = False) -> socket.socket:
    """A listening socket, non-blocking, that others of this user may join with SO_REUSEPORT.

    `shared`: it joins others; else the port must be free (0: any free one). The first one binds
    before it sets SO_REUSEPORT: with it, a port that another process has is never noticed.
    Raises PortError.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, int(shared))
        sock.bind((address, port))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.listen(BACKLOG)
    except (OSError, OverflowError) as e:
        sock.close()
        foreign = isinstance(e, OSError) and e.errno == errno.EADDRNOTAVAIL
        kind = NoSuchAddress if foreign else PortError
        raise kind(f"port {port}: {_why(e, address)}") from e
    return sock


def _why(e: OSError | OverflowError, address: str) -> str:
    if isinstance(e, OverflowError):
        return "must be 0 to 65535"
    if e.errno == errno.EADDRINUSE:
        return "in use by another process"
    if e.errno == errno.EACCES:
        return "needs root; choose one above 1023"
    if e.errno == errno.EADDRNOTAVAIL:
        return f"{address} is not an address of this machine"
    return f"on {address}: {e.strerror or e}"
