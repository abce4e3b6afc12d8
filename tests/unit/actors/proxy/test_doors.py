"""A door is opened once, whoever wants it, and one that can't be opened is a problem of its own."""

import asyncio
import socket
from collections.abc import Iterator
from ssl import SSLContext
from typing import cast

import pytest

from tests.support.proxy_world import gateway_spec
from tulle.actors.holding.client import HolderClient, ListenRefused
from tulle.actors.proxy.doors import Doors
from tulle.actors.proxy.plane import Plane


class Holder:
    """Binds a socket per request, after a turn of the loop, unless told to refuse."""

    def __init__(self) -> None:
        self.given: list[socket.socket] = []
        self.refuses = False

    async def listen(self, name: str) -> socket.socket:
        await asyncio.sleep(0)
        if self.refuses:
            raise ListenRefused("in use")
        self.given.append(socket.create_server(("127.0.0.1", 0)))
        self.given[-1].setblocking(False)
        return self.given[-1]

    def tell(self, state: str, detail: str = "") -> None: ...

    def close(self) -> None: ...


class Protocols:
    """As much of a plane as doors need before a connection comes."""

    def gateway_protocol(self, port: int) -> asyncio.Protocol:
        return asyncio.Protocol()


@pytest.fixture
def holder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Holder]:
    holder = Holder()

    async def connect(*_: object) -> Holder:
        return holder

    monkeypatch.setattr(HolderClient, "connect", connect)
    yield holder
    for sock in holder.given:
        sock.close()


async def connected() -> Doors:
    async def on_command(command: str) -> None: ...

    def no_context() -> SSLContext:
        raise AssertionError("a gateway's door needs none")

    doors = Doors(
        gateway_spec(),
        cast(Plane, Protocols()),
        no_context,
        on_command,
        lambda: None,
    )
    await doors.connect()
    return doors


@pytest.mark.asyncio
async def test_two_who_want_one_door_at_once_open_it_once(holder: Holder) -> None:
    doors = await connected()
    await asyncio.gather(doors.open("gateway:80"), doors.open("gateway:80"))
    assert len(holder.given) == 1 and len(doors.listening) == 1
    doors.close()


@pytest.mark.asyncio
async def test_a_door_that_is_refused_is_said_until_it_opens(holder: Holder) -> None:
    doors = await connected()
    holder.refuses = True
    await doors.open("gateway:80")
    assert doors.problems == {"gateway:80": "gateway:80: in use"} and doors.listening == ()
    holder.refuses = False
    await doors.open("gateway:80")
    assert doors.problems == {} and doors.are_open(["gateway:80"])
    doors.close()
