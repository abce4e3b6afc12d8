"""What is written in one turn of the loop."""

import asyncio

import pytest

from tests.support.fake_loop import FakeTransport, ManualLoop
from tulle.actors.proxy.outbox import JOINED_BYTES, Outbox


def transports(count: int = 1) -> list[FakeTransport]:
    return [FakeTransport(asyncio.Protocol()) for _ in range(count)]


def test_writes_happen_together_and_in_order() -> None:
    loop = ManualLoop()
    outbox = Outbox(loop)
    one, two = transports(2)
    outbox.write(one, b"a")
    outbox.write(two, b"b")
    outbox.write(one, [b"c", b"d"])
    assert not one.written
    loop.turn()
    assert one.written == [b"a", b"cd"]
    assert two.written == [b"b"]


def test_large_pieces_are_not_copied() -> None:
    loop = ManualLoop()
    outbox = Outbox(loop)
    (one,) = transports()
    large = b"x" * JOINED_BYTES
    outbox.write(one, [b"head", large])
    loop.turn()
    assert one.written == [b"head", large]


def test_a_close_comes_after_what_was_written() -> None:
    loop = ManualLoop()
    outbox = Outbox(loop)
    (one,) = transports()
    outbox.write(one, b"a")
    outbox.close(one.close)
    assert not one.ended
    loop.turn()
    assert (one.written, one.ended) == ([b"a"], "closed")
    (two,) = transports()
    outbox.close(two.close)
    assert two.ended == "closed"


def test_what_is_closed_already_gets_nothing() -> None:
    loop = ManualLoop()
    outbox = Outbox(loop)
    (one,) = transports()
    outbox.write(one, b"a")
    one.abort()
    loop.turn()
    assert not one.written


def test_a_write_that_fails_costs_no_other(caplog: pytest.LogCaptureFixture) -> None:
    loop = ManualLoop()
    outbox = Outbox(loop)

    class Fails(FakeTransport):
        def write(self, data: bytes | bytearray | memoryview) -> None:
            raise RuntimeError("closed handle")

    fails, (one,) = Fails(asyncio.Protocol()), transports()
    outbox.write(fails, b"a")
    outbox.write(one, b"b")
    loop.turn()
    assert fails.ended == "aborted"
    assert one.written == [b"b"]
    assert "a write failed" in caplog.text


def test_a_close_that_fails_does_not_keep_another_from_its_own() -> None:
    loop = ManualLoop()
    outbox = Outbox(loop)
    one, two = transports(2)

    def fail() -> None:
        raise RuntimeError("the handler is closed")

    outbox.write(one, b"a")
    outbox.close(fail)
    outbox.close(two.close)
    loop.turn()
    assert two.ended == "closed"


def test_a_turn_is_over_when_its_writes_are_done() -> None:
    loop = ManualLoop()
    outbox = Outbox(loop)
    (one,) = transports()
    before = outbox.turn
    outbox.write(one, b"a")
    assert outbox.turn == before
    loop.turn()
    assert outbox.turn == before + 1
