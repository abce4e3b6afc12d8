"""A tunnel between two fake connections: back-pressure, ends, breaks and its idle time."""

import asyncio
from collections.abc import Callable

import pytest

from tests.support.fake_loop import FakeTransport, ManualLoop
from tulle.actors.proxy.ends import BUFFER_BYTES, PlainEnd
from tulle.actors.proxy.stats import Stats
from tulle.actors.proxy.tunnel import CLOSE_SECONDS, Tunnel, Tunnels
from tulle.actors.proxy.wheel import Wheel


class World:
    """A tunnel of two plain ends, not yet started."""

    def __init__(self, idle: float = 60.0) -> None:
        self.loop = ManualLoop()
        self.stats = Stats()
        self.client_end, self.server_end = PlainEnd(), PlainEnd()
        self.client, self.server = FakeTransport(self.client_end), FakeTransport(self.server_end)
        self.gone: list[Tunnel] = []
        self.tunnel = Tunnel(
            self.client_end,
            self.server_end,
            self.stats.tcp_recorder("source"),
            Wheel(self.loop),
            idle,
            self.gone.append,
        )

    def closed(self) -> list[str]:
        """The flags with which it was counted as closed."""
        return [
            it.labels["response_flags"]
            for it in self.stats.snapshot(False)
            if it.name == "istio_tcp_connections_closed_total" and it.value
        ]


@pytest.fixture
def world() -> World:
    world = World()
    world.tunnel.start()
    return world


def test_what_comes_before_the_start_waits_and_no_more_is_read() -> None:
    world = World()
    world.server_end.data_received(b"welcome")
    assert not world.server.reading and not world.client.written
    world.tunnel.start()
    assert world.client.take() == b"welcome" and world.server.reading


def test_an_end_that_came_before_the_start_is_passed_on() -> None:
    world = World()
    world.client_end.data_received(b"all")
    assert world.client_end.eof_received(), "kept open for the answer"
    world.tunnel.start()
    assert world.server.take() == b"all" and world.server.eof and not world.server.ended


@pytest.mark.parametrize("side", ["client", "server"])
def test_who_does_not_keep_up_stops_the_other(world: World, side: str) -> None:
    slow, fast = (
        (world.client_end, world.server) if side == "client" else (world.server_end, world.client)
    )
    assert world.client.high == world.server.high == BUFFER_BYTES
    slow.pause_writing()
    assert not fast.reading
    slow.resume_writing()
    assert fast.reading


def test_both_directions_end_apart(world: World) -> None:
    world.client_end.eof_received()
    assert world.server.eof and not world.client.eof
    world.server_end.data_received(b"still")
    assert world.client.take() == b"still"
    world.server_end.eof_received()
    assert world.client.eof
    assert (world.client.ended, world.server.ended) == ("closed", "closed")
    assert world.gone == [world.tunnel] and world.closed() == ["-"]


@pytest.mark.parametrize(("side", "flag"), [("client", "DC"), ("server", "UC")])
def test_a_break_breaks_the_other(world: World, side: str, flag: str) -> None:
    lost, other = (world.client, world.server) if side == "client" else (world.server, world.client)
    lost.lose(ConnectionResetError())
    assert other.ended == "aborted"
    assert world.gone == [world.tunnel] and world.closed() == [flag]


def test_a_break_after_one_end_is_a_break_all_the_same(world: World) -> None:
    world.client_end.eof_received()
    world.server.lose(ConnectionResetError())
    assert world.client.ended == "aborted" and world.closed() == ["UC"]


def test_who_left_before_the_start_is_noticed_at_it() -> None:
    world = World()
    world.client.lose(ConnectionResetError())
    world.tunnel.start()
    assert world.server.ended == "aborted"
    assert world.gone == [world.tunnel] and world.closed() == ["DC"]


def test_silence_ends_it_and_bytes_either_way_keep_it(world: World) -> None:
    for end in (world.client_end, world.server_end):
        world.loop.advance(50)
        end.data_received(b"x")
    world.loop.advance(50)
    assert not world.gone
    world.loop.advance(11)
    assert world.client.ended == world.server.ended == "aborted"
    assert world.closed() == ["SI"]


def test_without_an_idle_time_it_stays() -> None:
    world = World(idle=0)
    world.tunnel.start()
    world.loop.advance(1_000_000)
    assert not world.gone and not world.loop.timers


def test_who_takes_too_long_to_read_the_rest_is_cut() -> None:
    world = World(idle=0)
    world.client.close_later = True
    world.tunnel.start()
    world.client_end.eof_received()
    world.server_end.eof_received()
    assert (world.client.ended, world.server.ended) == ("", "closed")
    world.loop.advance(CLOSE_SECONDS + 1)
    assert world.client.ended == "aborted" and world.gone == [world.tunnel]


@pytest.mark.asyncio
async def test_a_drain_ends_with_the_last_tunnel_or_its_time() -> None:
    tunnels, world = Tunnels(), World()
    ends: list[Callable[[], None]] = []
    for it in (world.tunnel, World().tunnel):
        tunnels.add(it)
        ends.append(lambda it=it: tunnels.gone(it))  # type: ignore[misc]
    await tunnels.drain(0.01)
    assert len(tunnels.open) == 2
    draining = asyncio.create_task(tunnels.drain(60))
    await asyncio.sleep(0)
    for end in ends:
        end()
    async with asyncio.timeout(5):
        await draining
    assert tunnels.cut() == 0
