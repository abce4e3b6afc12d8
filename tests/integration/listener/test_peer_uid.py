"""Loopback listeners tell who connects, by the kernel's word, and close on everybody else."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.support.other_user import ask_as
from tulle.actors.holding.group import open_listening
from tulle.actors.proxy import peer_uid
from tulle.actors.proxy.listener import Listener
from tulle.actors.proxy.peer_uid import NO_PEER, LookUpFailed, PeerCheck, PeerUid

NOBODY = 65_534
OURS = os.getuid()
# Whom a listener is for, and another who comes. Only root can become somebody else.
STRANGERS = [(OURS, NOBODY), (NOBODY, OURS)] if OURS == 0 else [(OURS + 1, OURS)]


@pytest.fixture(params=["127.0.0.1", "::1"])
def address(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def accepted(address: str) -> tuple[socket.socket, socket.socket]:
    """A connection to a listener on `address`: the client's end, and ours."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, 0), family=family) as server:
        client = socket.create_connection(server.getsockname()[:2])
        return client, server.accept()[0]


def test_the_kernel_tells_our_own_uid(address: str) -> None:
    client, ours = accepted(address)
    with client, ours:
        look_up = PeerUid()
        assert {look_up(ours) for _ in range(100)} == {os.getuid()}
        look_up.close()
        assert look_up(ours) == os.getuid(), "a closed look-up opens its socket again"
        look_up.close()


def test_an_ipv4_client_of_a_dual_stack_listener() -> None:
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as server:
        with socket.create_connection(("127.0.0.1", server.getsockname()[1])):
            ours, _ = server.accept()
            with ours:
                look_up = PeerUid()
                assert look_up(ours) == os.getuid()
                look_up.close()


def test_a_peer_that_has_left_is_nobody(address: str) -> None:
    # The kernel shows uid 0 for a socket that nobody has open: it must not pass for root's.
    client, ours = accepted(address)
    look_up = PeerUid()
    with ours:
        client.shutdown(socket.SHUT_WR)
        assert look_up(ours) == os.getuid(), "half-closed, and still somebody's"
        client.close()
        assert look_up(ours) == NO_PEER
    look_up.close()


def test_without_netlink_nothing_is_told(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    client, ours = accepted(address)
    with client, ours:
        monkeypatch.setattr(peer_uid, "_NETLINK_SOCK_DIAG", 31)  # no such family
        with pytest.raises(LookUpFailed, match="netlink sock_diag"):
            PeerUid()(ours)


@asynccontextmanager
async def guarded(address: str, uid: int) -> AsyncIterator[tuple[PeerCheck, int]]:
    """An outbound listener that admits `uid` and answers 407; its check and port."""

    class Answering(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            assert isinstance(transport, asyncio.Transport)
            transport.write(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")

    sock = open_listening(address, 0)
    look_up = PeerUid()
    check = PeerCheck(uid, look_up, lambda problem: None)
    listener = Listener(sock, "outbound", Answering, admits=check)
    listener.start()
    try:
        yield check, sock.getsockname()[1]
    finally:
        listener.close()
        look_up.close()


@pytest.mark.asyncio
async def test_a_process_of_our_uid_is_served(address: str) -> None:
    async with guarded(address, os.getuid()) as (check, port):
        assert await ask_as(os.getuid(), address, port) == "407"
        assert check.refused == 0


@pytest.mark.parametrize(("owner", "stranger"), STRANGERS)
@pytest.mark.asyncio
async def test_a_process_of_another_uid_is_closed_without_a_byte(
    address: str, owner: int, stranger: int
) -> None:
    async with guarded(address, owner) as (check, port):
        assert await ask_as(stranger, address, port) == "closed"
        assert check.refused == 1
        if OURS == 0:
            assert await ask_as(owner, address, port) == "407", "the owner is served on"
