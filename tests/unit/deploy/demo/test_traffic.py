import asyncio
import json

import pytest

from tests.support.awaiting import until
from tests.support.bookstore import page_content
from tulle.deploy.demo.exchange import Answer
from tulle.deploy.demo.traffic import IN_FLIGHT_LIMIT, Traffic
from tulle.deploy.demo.visitors import Visitors

WHOLE = Answer(200, {}, json.dumps(page_content("v1")).encode())


class Counter(Visitors):
    """Answers when the gate is open."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 80), "/", "shop", {}, slots=8)
        self.gate = asyncio.Event()
        self.once = 0
        self.kept: list[int] = []
        self.error: OSError | None = None

    async def get_once(self) -> Answer:
        self.once += 1
        await self.gate.wait()
        if self.error:
            raise self.error
        return WHOLE

    async def get_kept(self, slot: int) -> tuple[Answer, bool]:
        self.kept.append(slot)
        await self.gate.wait()
        return WHOLE, slot == 0


def traffic(rate: float = 1000.0) -> tuple[Traffic, Counter]:
    visitors = Counter()
    return Traffic(("127.0.0.1", 80), rate=rate, visitors=visitors), visitors


@pytest.mark.asyncio
async def test_half_come_on_new_connections_and_half_take_turns_on_kept_ones() -> None:
    source, visitors = traffic()
    visitors.gate.set()
    source.start()
    pages = await source.pages_after(0.0, 40, seconds=5)
    await source.stop()
    assert abs(visitors.once - len(visitors.kept)) <= 1
    assert visitors.kept[:10] == [0, 1, 2, 3, 4, 5, 6, 7, 0, 1]
    assert not any(page.failed for page in pages)
    assert any(page.retried for page in pages)
    assert source.sent == len(source.pages)


@pytest.mark.asyncio
async def test_requests_start_though_nobody_answers_up_to_a_bound() -> None:
    source, visitors = traffic(rate=20_000.0)
    source.start()
    found = await source.pages_after(0.0, 1, seconds=5)
    assert found[0].error.startswith("not sent")
    assert visitors.once + len(visitors.kept) == IN_FLIGHT_LIMIT
    visitors.gate.set()
    await source.stop()
    assert source.sent == len(source.pages)


@pytest.mark.asyncio
async def test_an_error_becomes_a_failed_page() -> None:
    source, visitors = traffic()
    visitors.error = ConnectionRefusedError(111, "refused")
    visitors.gate.set()
    source.start()
    pages = await source.pages_after(0.0, 4, seconds=5)
    await source.stop()
    assert {page.error for page in pages if page.failed} == {
        "ConnectionRefusedError: [Errno 111] refused"
    }


@pytest.mark.asyncio
async def test_pages_are_told_apart_by_when_they_started() -> None:
    source, visitors = traffic()
    source.start()
    await until(lambda: source.sent >= 5)
    moment, before = source.now(), source.sent
    visitors.gate.set()
    later = await source.pages_after(moment, 3, seconds=5)
    await source.stop()
    assert all(page.started >= moment for page in later)
    assert len(source.pages) >= before + 3
    assert len(source.since(moment)) == source.sent - before


@pytest.mark.asyncio
async def test_settled_waits_for_what_is_under_way_and_no_more() -> None:
    source, visitors = traffic()
    source.start()
    await until(lambda: source.sent >= 5)
    sent = source.sent
    asyncio.get_running_loop().call_later(0.01, visitors.gate.set)
    await source.settled()
    assert len(source.pages) >= sent
    await source.stop()


@pytest.mark.asyncio
async def test_pages_that_do_not_come_are_a_time_out() -> None:
    source, _ = traffic()
    with pytest.raises(TimeoutError):
        await source.pages_after(0.0, 1, seconds=0.01)
