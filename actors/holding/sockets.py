"""Which listening sockets exist, for which proxy, and how one leaves without a lost connection.

Counterparts: actors.holding.group (one address) and actors.holding.holder (who is connected).
"""

import asyncio
import logging
import socket
from collections.abc import Callable
from dataclasses import dataclass

from tulle.actors.holding import steering
from tulle.actors.holding.absence import Absence, Waiting
from tulle.actors.holding.group import Group, Member, PortError

log = logging.getLogger(__name__)

MAX_GROUPS = 256

Bind = Callable[[str, str, str], tuple[str, int]]
"""(proxy id, pool, name) -> (address, port); port 0: a free one. ValueError: no such name."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait, in seconds.

    `absence`: for a proxy to come back before the holder answers itself. `queue`: the same, when
    all proxies were started again; `most`: both together with that start. `drain_least`: for
    connections whose handshake was under way when steering began; `drain_most`: for a proxy to
    take what is queued.
    """

    absence: float = 10.0
    queue: float = 30.0
    most: float = 60.0
    drain_least: float = 0.2
    drain_most: float = 5.0


class HeldSockets:
    """The groups by (owner, name). An owner is a pool, or a proxy without one."""

    def __init__(
        self, bind: Bind, patience: Patience, expected: Callable[[], bool] = lambda: False
    ) -> None:
        self._bind = bind
        self._patience = patience
        self._expected = expected
        self._groups: dict[tuple[str, str], Group] = {}
        self._absences: dict[Member, Absence] = {}
        # One leaves at a time: no other's program then points at a socket that is half gone.
        self._leaving = asyncio.Lock()

    def reserve(self, name: str) -> tuple[str, int]:
        """Opens a socket for whoever asks for this name first. Raises PortError."""
        group = self._group("", "", name)
        if group.member_of("") is None:
            self._absent(group, group.open(""))
        return group.address, group.port

    def listen(self, proxy: str, pool: str, name: str) -> tuple[socket.socket, str, int]:
        """The proxy's socket of this name, kept or new, and its address; served from now on.

        Raises PortError.
        """
        group = self._reserved(proxy, pool, name) or self._group(proxy, pool, name)
        member = group.member_of(proxy) or group.open(proxy)
        self._end_absence(member)
        member.served = True
        group.steer()
        return member.sock, group.address, group.port

    def addresses(self, owner: str) -> dict[str, tuple[str, int]]:
        """name -> (address, port) of all that is open for a pool or a proxy without one."""
        return {
            group.name: (group.address, group.port)
            for group in self._groups.values()
            if group.owner == owner and group.members
        }

    def lost(self, proxy: str) -> None:
        """The proxy is gone without a word: past it if others are there, else it is awaited."""
        for group, member in self._of(proxy, leaving=True):
            member.served = False
            self._absent(group, member, patience=0.0 if member.leaving else None)
            group.steer()

    async def retire(self, proxy: str) -> None:
        """Steers new connections past the proxy's sockets, waits for their queues, closes them.

        The proxy accepts meanwhile; if it is gone the holder answers. With no other member new
        connections still come, and the next ones are refused.
        """
        async with self._leaving:
            leaving = self._of(proxy)
            for group, member in leaving:
                # Not served, it would have an absence; now nobody comes back for it.
                if not member.served:
                    self._absent(group, member, patience=0.0)
                member.served, member.leaving = False, True
                group.steer()
            await self._drained([member for _, member in leaving])
            for group, member in leaving:
                self._end_absence(member)
                group.remove(member)

    def close(self) -> None:
        """Closes all sockets."""
        for absence in self._absences.values():
            absence.end()
        for group in self._groups.values():
            for member in group.members:
                member.sock.close()
        self._absences.clear()
        self._groups.clear()

    def _reserved(self, proxy: str, pool: str, name: str) -> Group | None:
        """What was reserved by this name, from now on the proxy's."""
        owner = pool or proxy
        if (owner, name) in self._groups or (group := self._groups.pop(("", name), None)) is None:
            return None
        group.owner = owner
        for member in group.members:
            member.proxy = proxy
        self._groups[owner, name] = group
        return group

    def _group(self, proxy: str, pool: str, name: str) -> Group:
        owner = pool or proxy
        group = self._groups.get((owner, name))
        if group is not None:
            return group
        if len(self._groups) >= MAX_GROUPS:
            raise PortError(f"{name}: {MAX_GROUPS} listening addresses are open already")
        try:
            address, port = self._bind(proxy, pool, name)
        except ValueError as e:
            raise PortError(f"{name}: {e}") from e
        self._refuse_twice(owner, name, address, port)
        return self._groups.setdefault((owner, name), Group(owner, name, address, port))

    def _refuse_twice(self, owner: str, name: str, address: str, port: int) -> None:
        for other in self._groups.values():
            if port and (other.address, other.port) == (address, port) and other.members:
                raise PortError(f"port {port}: in use by {other.name} of {other.owner} already")

    def _of(self, proxy: str, leaving: bool = False) -> list[tuple[Group, Member]]:
        return [
            (group, member)
            for group in self._groups.values()
            for member in group.members
            if member.proxy == proxy and (leaving or not member.leaving)
        ]

    def _absent(self, group: Group, member: Member, patience: float | None = None) -> None:
        self._end_absence(member)
        speaks_http = not group.name.startswith("inbound")
        waiting = Waiting(self._patience.absence if patience is None else patience)
        if patience is None:
            times = self._patience
            waiting = Waiting(times.absence, self._expected, times.queue, times.most)
        self._absences[member] = Absence(member.sock, speaks_http, waiting)

    def _end_absence(self, member: Member) -> None:
        if (absence := self._absences.pop(member, None)) is not None:
            absence.end()

    async def _drained(self, members: list[Member]) -> None:
        """Raises nothing: what is still queued after the longest wait is lost, and logged."""
        loop = asyncio.get_running_loop()
        end = loop.time() + self._patience.drain_most
        await asyncio.sleep(self._patience.drain_least)
        while (left := sum(steering.queued(member.sock) for member in members)) > 0:
            if loop.time() > end:
                log.warning("%d connections that the leaving proxy did not take are reset", left)
                return
            await asyncio.sleep(0.02)
