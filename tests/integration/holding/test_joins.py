"""A holder after one that was killed: on ports where proxies have sockets, and on no others."""

import socket
from collections.abc import Iterator

import pytest

from tulle.actors.holding.group import Group, PortError, open_listening


@pytest.fixture
def left() -> Iterator[socket.socket]:
    """What a gateway has of a holder that is gone."""
    sock = open_listening("127.0.0.1", 0)
    yield sock
    sock.close()


def group(port: int, *, joins: bool) -> Group:
    return Group("ingress", "gateway:80", "127.0.0.1", port, joins)


def test_it_joins_them_and_takes_over_when_they_close(left: socket.socket) -> None:
    port = left.getsockname()[1]
    with pytest.raises(PortError, match="in use"):
        group(port, joins=False).open("a")
    joined = group(port, joins=True)
    member = joined.open("a")
    left.close()
    with socket.create_connection(("127.0.0.1", port), 5):
        member.sock.setblocking(True)
        member.sock.accept()[0].close()
    joined.remove(member)


def test_it_steers_nobody_as_the_order_is_not_known(left: socket.socket) -> None:
    joined = group(left.getsockname()[1], joins=True)
    first, second = joined.open("a"), joined.open("b")
    first.served = True
    joined.steer()
    assert not joined._steered
    for member in (first, second):
        joined.remove(member)


def test_what_another_program_has_it_does_not_join() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        with pytest.raises(PortError, match="in use"):
            group(other.getsockname()[1], joins=True).open("a")
