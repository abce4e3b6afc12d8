"""The ordered consumer: whatever is amiss, it is made anew behind what was delivered."""

import asyncio
from collections.abc import AsyncIterator
from typing import cast

import orjson
import pytest
import pytest_asyncio

from tests.support.fake_connection import FakeConnection
from tulle.bus import consumer as module
from tulle.bus.connection import Connection
from tulle.bus.consumer import Consumer
from tulle.bus.errors import Forbidden, NoAnswer, StoreReplaced
from tulle.bus.subscription import Message


class Stream:
    """Plays the server, and the reader of the consumer under test."""

    def __init__(self) -> None:
        self.connection = FakeConnection(self.answer)
        self.created = "2026-01-01"
        self.pending = 0
        self.failures: list[Exception] = []
        self.made: list[dict[str, object]] = []
        self.delivered: list[int] = []
        self.completed = 0
        self.failed: Exception | None = None
        self.news = asyncio.Event()
        self.consumer = Consumer(
            cast(Connection, self.connection),
            "KV_x",
            ["$KV.x.>"],
            lambda _, sequence: self.delivered.append(sequence),
            self,
        )

    def complete(self) -> None:
        self.completed += 1

    def fail(self, error: Exception) -> None:
        self.failed = error
        self.news.set()

    def answer(self, subject: str, data: bytes) -> Message | Exception:
        if self.failures:
            return self.failures.pop(0)
        if "STREAM.INFO" in subject:
            return Message(subject, orjson.dumps({"created": self.created}))
        self.made.append(orjson.loads(data)["config"])
        self.news.set()
        return Message(subject, orjson.dumps({"num_pending": self.pending}))

    def send(self, sequence: int, count: int, pending: int = 0) -> None:
        """A stored message, the `count`th of the newest consumer."""
        name = self.made[-1]["name"]
        reply = f"$JS.ACK.KV_x.{name}.1.{sequence}.{count}.0.{pending}"
        self.connection.interests[-1].deliver(Message("$KV.x.a", b"", reply))

    def control(self, headers: dict[str, str], reply: str = "") -> None:
        """A heartbeat or flow control request."""
        message = Message("inbox", b"", reply, {"Status": "100", **headers})
        self.connection.interests[-1].deliver(message)

    async def until_made(self, times: int) -> None:
        async with asyncio.timeout(5):
            while len(self.made) < times:
                self.news.clear()
                await self.news.wait()
        for _ in range(5):  # until the consumer has read the answer
            await asyncio.sleep(0)


@pytest_asyncio.fixture
async def stream(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stream]:
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.0)
    yield Stream()


@pytest.mark.asyncio
async def test_it_delivers_in_order_and_says_when_all_is_there(stream: Stream) -> None:
    stream.pending = 2
    async with stream.consumer:
        await stream.until_made(1)
        assert stream.made[0]["deliver_policy"] == "last_per_subject"
        assert stream.completed == 0
        stream.send(3, 1, pending=1)
        assert stream.completed == 0
        stream.send(7, 2)
        assert (stream.delivered, stream.completed) == ([3, 7], 1)
    assert not stream.connection.interests
    assert not stream.connection.reconnected
    assert stream.connection.published[-1].startswith("$JS.API.CONSUMER.DELETE.KV_x.")


@pytest.mark.asyncio
async def test_an_empty_stream_is_complete_at_once(stream: Stream) -> None:
    async with stream.consumer:
        await stream.until_made(1)
        assert stream.completed == 1


@pytest.mark.asyncio
async def test_after_a_gap_it_begins_again_behind_the_last(stream: Stream) -> None:
    async with stream.consumer:
        await stream.until_made(1)
        stream.send(3, 1)
        stream.send(9, 3)  # the second was lost
        stream.send(10, 4)
        await stream.until_made(2)
        assert stream.delivered == [3]
        assert stream.made[1]["deliver_policy"] == "by_start_sequence"
        assert stream.made[1]["opt_start_seq"] == 4
        stream.send(5, 1)
        assert stream.delivered == [3, 5]


@pytest.mark.asyncio
async def test_a_heartbeat_tells_of_lost_last_messages(stream: Stream) -> None:
    async with stream.consumer:
        await stream.until_made(1)
        stream.send(3, 1)
        stream.control({"Nats-Last-Consumer": "1"})
        stream.control({"Nats-Last-Consumer": "2"})
        await stream.until_made(2)
        assert stream.made[1]["opt_start_seq"] == 4


@pytest.mark.asyncio
async def test_a_reconnect_makes_it_anew(stream: Stream) -> None:
    async with stream.consumer:
        await stream.until_made(1)
        stream.connection.reconnected[0]()
        await stream.until_made(2)
        assert stream.made[1]["name"] != stream.made[0]["name"]


@pytest.mark.asyncio
async def test_silence_makes_it_anew(stream: Stream, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HEARTBEAT_SECONDS", 0.01)
    monkeypatch.setattr(module, "SILENCE_SECONDS", 0.02)
    async with stream.consumer:
        await stream.until_made(3)


@pytest.mark.asyncio
async def test_flow_control_is_answered(stream: Stream) -> None:
    async with stream.consumer:
        await stream.until_made(1)
        stream.control({}, reply="$JS.FC.KV_x.name.1")
        stream.control({"Nats-Last-Consumer": "0", "Nats-Consumer-Stalled": "$JS.FC.KV_x.name.2"})
        for _ in range(10):
            await asyncio.sleep(0)
        assert "$JS.FC.KV_x.name.2" in stream.connection.published


@pytest.mark.asyncio
async def test_it_tries_until_the_server_answers(stream: Stream) -> None:
    stream.failures = [NoAnswer("x", 5.0), NoAnswer("x", 5.0)]
    async with stream.consumer:
        await stream.until_made(1)
        assert stream.failed is None


@pytest.mark.asyncio
async def test_what_it_may_not_read_ends_it(stream: Stream) -> None:
    stream.failures = [Forbidden("proxy", "publish to", "x")]
    async with stream.consumer:
        await asyncio.wait_for(stream.news.wait(), 5)
    assert isinstance(stream.failed, Forbidden)


@pytest.mark.asyncio
async def test_another_stream_of_the_same_name_ends_it(stream: Stream) -> None:
    async with stream.consumer:
        await stream.until_made(1)
        stream.created = "2026-01-02"
        stream.news.clear()
        stream.connection.reconnected[0]()
        await asyncio.wait_for(stream.news.wait(), 5)
    assert isinstance(stream.failed, StoreReplaced)
    assert len(stream.made) == 1


def test_the_position_is_read_from_both_forms_of_a_reply() -> None:
    short = "$JS.ACK.KV_x.name.1.42.7.1795416396.3"
    long = "$JS.ACK.domain.account.KV_x.name.1.42.7.1795416396.3.token"
    assert module._position(short) == module._position(long) == ("name", 42, 7, 3)
