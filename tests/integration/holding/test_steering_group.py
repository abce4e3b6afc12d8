"""The kernel's order of a group is what we think it is: who gets connections, after any change."""

import random
import socket
from collections.abc import Iterator

import pytest

from tulle.actors.holding import steering
from tulle.actors.holding.group import Group, Member

CONNECTIONS = 24


class Checked:
    """A group whose members all accept here."""

    def __init__(self) -> None:
        self.group = Group("ingress", "gateway:80", "127.0.0.1", 0)
        self._copies: list[socket.socket] = []

    def join(self, proxy: str) -> None:
        member = self.group.open(proxy)
        # A proxy's copy keeps a socket alive in the kernel after the holder has removed it.
        self._copies.append(member.sock.dup())
        self.serve(member, True)

    def serve(self, member: Member, served: bool) -> None:
        member.served = served
        self.group.steer()

    def check(self) -> None:
        """New connections reach those who are served, and nobody else if there are any."""
        address = ("127.0.0.1", self.group.port)
        ends = [socket.create_connection(address, 5) for _ in range(CONNECTIONS)]
        taken = {member.proxy: self._take(member) for member in self.group.members}
        for end in ends:
            end.close()
        served = {member.proxy for member in self.group.members if member.served}
        assert sum(taken.values()) == CONNECTIONS
        if served:
            assert {proxy for proxy, count in taken.items() if count} <= served

    def _take(self, member: Member) -> int:
        count = steering.queued(member.sock)
        for _ in range(count):
            member.sock.accept()[0].close()
        return count

    def close(self) -> None:
        for sock in [*self._copies, *(member.sock for member in self.group.members)]:
            sock.close()


@pytest.fixture
def checked() -> Iterator[Checked]:
    group = Checked()
    yield group
    group.close()


@pytest.mark.parametrize("seed", range(8))
def test_connections_go_to_the_served_alone_whatever_came_before(
    checked: Checked, seed: int
) -> None:
    chance = random.Random(seed)
    for step in range(25):
        members = checked.group.members
        change = chance.choice(["join", "lost", "lost", "back", "retire"])
        if change == "join" or not members:
            if len(members) < 6:
                checked.join(f"p{step}")
        elif change == "retire":
            leaving = chance.choice(members)
            checked.serve(leaving, False)
            checked.group.remove(leaving)
        else:
            checked.serve(chance.choice(members), change == "back")
        if members := checked.group.members:
            checked.check()


def test_served_members_share_the_connections(checked: Checked) -> None:
    for proxy in "abcd":
        checked.join(proxy)
    first = checked.group.members[0]
    checked.serve(first, False)
    ends = [socket.create_connection(("127.0.0.1", checked.group.port), 5) for _ in range(300)]
    counts = [steering.queued(member.sock) for member in checked.group.members]
    for end in ends:
        end.close()
    assert counts[0] == 0
    assert min(counts[1:]) > 50
