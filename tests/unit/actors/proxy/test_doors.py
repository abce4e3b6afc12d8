"""A door is opened once, whoever wants it, and one that can't be opened is a problem of its own."""

import asyncio
import socket
from collections.abc import Iterator
from ssl import SSLContext
from typing import cast

import pytest

from tests.support.proxy_world import gateway_spec
from tulle.actors.holding.client import HolderClient, ListenRefused
from tulle.actors.proxy import doors as doors_module
from tulle.actors.proxy.doors import SETTLE_POLL_SECONDS, Doors
from tulle.actors.proxy.plane import Plane
from tulle.policies.decide.peers import Mode


class Holder:
    """Binds a socket per request, after a turn of the loop, unless told to refuse."""

    uid = 0

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

    async def retire(self) -> None: ...

    def tell(self, state: str, detail: str = "") -> None: ...

    def close(self) -> None: ...


class Protocols:
    """As much of a plane as doors need before a connection comes."""

    def gateway_protocol(self, port: int) -> asyncio.Protocol:
        return asyncio.Protocol()

    def gateway_mode(self, port: int) -> Mode:
        return "DISABLE"

    def gateway_context(self, port: int, sni: str) -> SSLContext | None:
        return None


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


class Shaking:
    """A listener with one connection whose handshake is under way."""

    undecided = 1
    turned_away = stopped = False

    def __init__(self, *_: object) -> None: ...

    def start(self) -> None: ...

    def turn_away(self) -> None:
        self.turned_away = True

    def stop_accepting(self) -> None:
        self.stopped = True

    def close(self) -> None: ...


@pytest.fixture
def shaking(monkeypatch: pytest.MonkeyPatch) -> Shaking:
    listener = Shaking()
    monkeypatch.setattr(doors_module, "Listener", lambda *_, **__: listener)
    return listener


@pytest.mark.asyncio
async def test_a_drain_waits_for_handshakes_under_way(holder: Holder, shaking: Shaking) -> None:
    doors = await connected()
    await doors.open("gateway:80")
    turning = asyncio.create_task(doors.turn_away("gateway"))
    retiring = asyncio.create_task(doors.retire())
    done, _ = await asyncio.wait([turning, retiring], timeout=3 * SETTLE_POLL_SECONDS)
    assert not done and shaking.turned_away and shaking.stopped
    shaking.undecided = 0
    async with asyncio.timeout(5):
        await asyncio.gather(turning, retiring)
    doors.close()


@pytest.mark.asyncio
async def test_but_not_for_ever(
    holder: Holder, shaking: Shaking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doors_module, "SETTLE_SECONDS", 0.05)
    doors = await connected()
    await doors.open("gateway:80")
    async with asyncio.timeout(5):
        await doors.turn_away("gateway")
    doors.close()
