"""The inbox: answers reach the one who asked, failures reach all whom they concern."""

import pytest

from tulle.bus.errors import Forbidden, NoAnswer, NobodyListens
from tulle.bus.inbox import ANSWERS_PENDING, Inbox
from tulle.bus.subscription import Message


@pytest.mark.asyncio
async def test_answers_reach_the_one_who_asked() -> None:
    inbox = Inbox("_INBOX.test.x")
    assert inbox.interest.subject == "_INBOX.test.x.*"
    with inbox.expect("a", 0.0) as one, inbox.expect("b", 0.0) as two:
        for waiting, data in ((two, b"two"), (one, b"one"), (two, b"more")):
            inbox.interest.deliver(Message(waiting.reply, data))
        assert (await one.next(1)).data == b"one"
        assert [(await two.next(1)).data for _ in range(2)] == [b"two", b"more"]


@pytest.mark.asyncio
async def test_an_answer_that_nobody_waits_for_is_dropped() -> None:
    inbox = Inbox("_INBOX.test.x")
    with inbox.expect("a", 0.0) as gone:
        pass
    inbox.interest.deliver(Message(gone.reply, b"late"))
    inbox.interest.deliver(Message("_INBOX.test.x.other", b"stray"))
    with inbox.expect("a", 0.0) as waiting, pytest.raises(NoAnswer, match="'a' in 0"):
        await waiting.next(0.001)


@pytest.mark.asyncio
async def test_no_responders_is_nobody_listens() -> None:
    inbox = Inbox("_INBOX.test.x")
    with inbox.expect("a", 0.0) as waiting:
        inbox.interest.deliver(Message(waiting.reply, b"", "", {"Status": "503"}))
        with pytest.raises(NobodyListens):
            await waiting.next(1)


@pytest.mark.asyncio
async def test_a_violation_fails_those_who_asked_there() -> None:
    inbox = Inbox("_INBOX.test.x")
    with inbox.expect("Api.A", 0.0) as one, inbox.expect("Api.B", 0.0) as two:
        assert inbox.fail_forbidden(Forbidden("proxy", "publish to", "api.a"))
        assert not inbox.fail_forbidden(Forbidden("proxy", "publish to", "api.c"))
        with pytest.raises(Forbidden) as refused:
            await one.next(1)
        assert refused.value.subject == "Api.A"
        with pytest.raises(NoAnswer):
            await two.next(0.001)


@pytest.mark.asyncio
async def test_a_break_fails_all_and_says_how_long_they_waited() -> None:
    inbox = Inbox("_INBOX.test.x")
    with inbox.expect("a", 10.0) as waiting:
        inbox.fail_all("the link broke", 12.5)
        with pytest.raises(NoAnswer, match=r"2\.5 s \(the link broke\)"):
            await waiting.next(60)


@pytest.mark.asyncio
async def test_answers_that_nobody_reads_are_bounded() -> None:
    inbox = Inbox("_INBOX.test.x")
    with inbox.expect("a", 0.0) as waiting:
        for _ in range(ANSWERS_PENDING + 10):
            inbox.interest.deliver(Message(waiting.reply, b"x"))
        for _ in range(ANSWERS_PENDING):
            await waiting.next(1)
        with pytest.raises(NoAnswer):
            await waiting.next(0.001)
