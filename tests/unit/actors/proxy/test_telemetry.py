"""What leaves a proxy: when, how much of it, and what happens when nobody takes it."""

from collections.abc import Mapping
from typing import cast

import pytest

from tulle.actors.proxy import telemetry
from tulle.actors.proxy.stats import Stats
from tulle.actors.proxy.telemetry import FULL_EVERY, TelemetrySender
from tulle.bus import codec
from tulle.bus.connection import Connection
from tulle.bus.errors import NobodyListens
from tulle.bus.messages import TelemetryBatch
from tulle.bus.subjects import Subjects
from tulle.bus.subscription import Message

pytestmark = pytest.mark.asyncio


class Bus:
    """Takes what is published; `fails` so many times first."""

    def __init__(self) -> None:
        self.sent: list[TelemetryBatch] = []
        self.asked: list[TelemetryBatch] = []
        self.fails = 0

    async def publish(self, subject: str, data: bytes) -> None:
        self._fail()
        self.sent.append(codec.decode(TelemetryBatch, data))

    async def request(
        self,
        subject: str,
        data: bytes,
        timeout: float,  # noqa: ASYNC109 - as the real one
        headers: Mapping[str, str] | None = None,
    ) -> Message:
        self.asked.append(codec.decode(TelemetryBatch, data))
        self._fail()
        return Message("answer", b"")

    def _fail(self) -> None:
        if self.fails:
            self.fails -= 1
            raise NobodyListens("telemetry")


def sender_of(stats: Stats) -> tuple[TelemetrySender, Bus]:
    bus = Bus()
    connection = cast(Connection, bus)
    return TelemetrySender(connection, Subjects("test"), stats, "p", 1.0), bus


def count(stats: Stats, workload: str = "w") -> None:
    stats.recorder("source", {"source_workload": workload}).add(200, 1.0, 1, 1)


async def test_all_at_first_then_what_changed_and_now_and_then_all() -> None:
    stats = Stats()
    sender, bus = sender_of(stats)
    count(stats, "one")
    await sender.send(100.0)
    await sender.send(101.0)
    assert [batch.full for batch in bus.sent] == [True]
    count(stats, "two")
    await sender.send(102.0)
    assert not bus.sent[1].full
    assert {one.labels["source_workload"] for one in bus.sent[1].series} == {"two"}
    await sender.send(100.0 + FULL_EVERY)
    assert bus.sent[2].full and len(bus.sent[2].series) == 8


async def test_what_was_not_taken_is_sent_again_in_full() -> None:
    stats = Stats()
    sender, bus = sender_of(stats)
    await sender.send(100.0)
    count(stats)
    bus.fails = 1
    await sender.send(101.0)
    await sender.send(102.0)
    assert [(batch.full, len(batch.series)) for batch in bus.sent] == [(True, 0), (True, 4)]


async def test_many_series_are_many_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telemetry, "BATCH", 3)
    stats = Stats()
    sender, bus = sender_of(stats)
    count(stats, "one")
    count(stats, "two")
    await sender.send(100.0)
    assert [len(batch.series) for batch in bus.sent] == [3, 3, 2]
    await sender.last_words()
    assert [len(batch.series) for batch in bus.sent[3:]] == [3, 3]
    assert [(len(batch.series), batch.last) for batch in bus.asked] == [(2, True)]


async def test_last_words_are_said_until_they_are_saved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telemetry, "RETRY_SECONDS", 0.0)
    stats = Stats()
    sender, bus = sender_of(stats)
    count(stats)
    await sender.send(100.0)
    bus.fails = 3
    await sender.last_words()
    assert len(bus.asked) == 4
    assert all(len(batch.series) == 4 and batch.last for batch in bus.asked)


async def test_a_proxy_ends_though_nobody_hears_its_last_words(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(telemetry, "LAST_SECONDS", 0.02)
    monkeypatch.setattr(telemetry, "RETRY_SECONDS", 0.001)
    stats = Stats()
    sender, bus = sender_of(stats)
    count(stats)
    bus.fails = 1_000_000
    await sender.last_words()
    assert "no collector" in caplog.text


async def test_who_has_counted_nothing_has_no_last_words() -> None:
    sender, bus = sender_of(Stats())
    bus.fails = 1
    await sender.last_words()
    assert not bus.asked and not bus.sent
