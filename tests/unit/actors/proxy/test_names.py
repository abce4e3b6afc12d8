"""Endpoints that are names: what is connected to, without a name service or a socket."""

import asyncio
from collections.abc import Sequence

import pytest

from tests.support.fake_loop import ManualLoop
from tulle.actors.proxy.names import ADDRESSES_TRIED, NameDialer
from tulle.actors.proxy.pool import DialFailed, Endpoint
from tulle.actors.proxy.upstream import UpstreamConnection
from tulle.actors.proxy.wheel import Wheel
from tulle.policies.reasons import UPSTREAM_TLS_FAILED

pytestmark = pytest.mark.asyncio


class Connect:
    """Notes the addresses; those in `down` do not answer."""

    generation = 3

    def __init__(self, *down: str) -> None:
        self.down = down
        self.tried: list[str] = []

    async def __call__(self, endpoint: Endpoint, address: str = "") -> UpstreamConnection:
        self.tried.append(address)
        if address in self.down:
            raise ConnectionRefusedError
        return UpstreamConnection(endpoint, self.generation)


def dialer(connect: Connect, *addresses: str, listeners: Sequence[str] = ()) -> NameDialer:
    async def resolve(host: str) -> Sequence[str]:
        if not addresses:
            raise OSError(f"{host} is not known")
        return addresses

    return NameDialer(connect, resolve, lambda address, port: address in listeners)


def endpoint(dial: NameDialer) -> Endpoint:
    return Endpoint("up.test", 80, dial, Wheel(ManualLoop()))


async def test_each_connection_goes_to_the_next_address() -> None:
    connect = Connect()
    dial = dialer(connect, "a", "b")
    it = endpoint(dial)
    for _ in range(4):
        await dial(it)
    assert sorted(connect.tried[:2]) == ["a", "b"] and connect.tried[2:] == connect.tried[:2]
    assert dial.generation == 3


async def test_a_few_addresses_are_tried_and_the_last_error_is_told() -> None:
    everything = tuple("abcdef")
    connect = Connect(*everything)
    dial = dialer(connect, *everything)
    with pytest.raises(ConnectionRefusedError):
        await dial(endpoint(dial))
    assert len(connect.tried) == len(set(connect.tried)) == ADDRESSES_TRIED


async def test_a_refusal_by_tls_is_not_tried_elsewhere() -> None:
    class Refuses(Connect):
        async def __call__(self, endpoint: Endpoint, address: str = "") -> UpstreamConnection:
            self.tried.append(address)
            raise DialFailed(UPSTREAM_TLS_FAILED)

    connect = Refuses()
    dial = dialer(connect, "a", "b")
    with pytest.raises(DialFailed):
        await dial(endpoint(dial))
    assert len(connect.tried) == 1


async def test_listeners_of_the_mesh_are_left_out() -> None:
    connect = Connect()
    dial = dialer(connect, "a", "b", listeners=("a",))
    it = endpoint(dial)
    for _ in range(3):
        await dial(it)
    assert set(connect.tried) == {"b"}
    only = dialer(connect, "a", listeners=("a",))
    with pytest.raises(
        DialFailed, match=r"up\.test has only addresses of the mesh's own listeners"
    ):
        await only(endpoint(only))


async def test_who_waits_no_longer_does_not_end_the_question_for_others() -> None:
    asked, go = asyncio.Event(), asyncio.Event()

    async def resolve(host: str) -> Sequence[str]:
        asked.set()
        await go.wait()
        return ["a"]

    dial = NameDialer(Connect(), resolve, lambda address, port: False)
    it = endpoint(dial)
    one, other = asyncio.ensure_future(dial(it)), asyncio.ensure_future(dial(it))
    await asked.wait()
    one.cancel()
    go.set()
    assert isinstance(await other, UpstreamConnection)
