"""A request is carried out once, however often it is sent."""

import asyncio

import pytest

from tulle.actors.supervisor.answers import Answers
from tulle.bus.messages import Answer


class Work:
    """Counts how often it is done; waits for `may_end`; fails first when `fails`."""

    def __init__(self, fails: bool = False) -> None:
        self.done = 0
        self.may_end = asyncio.Event()
        self.may_end.set()
        self._fails = fails

    async def __call__(self) -> Answer:
        self.done += 1
        await self.may_end.wait()
        if self._fails:
            self._fails = False
            raise OSError("once")
        return Answer(id="1", ok=True, changes=[str(self.done)])


@pytest.mark.asyncio
async def test_a_retry_gets_the_first_answer() -> None:
    answers, work = Answers(), Work()
    assert await answers.once("1", work) == await answers.once("1", work)
    assert work.done == 1
    await answers.once("2", work)
    assert work.done == 2


@pytest.mark.asyncio
async def test_a_retry_during_the_work_waits_for_it() -> None:
    answers, work = Answers(), Work()
    work.may_end.clear()
    first = asyncio.create_task(answers.once("1", work))
    second = asyncio.create_task(answers.once("1", work))
    await asyncio.sleep(0)
    work.may_end.set()
    assert await first == await second
    assert work.done == 1


@pytest.mark.asyncio
async def test_what_failed_is_tried_again() -> None:
    answers, work = Answers(), Work(fails=True)
    with pytest.raises(OSError, match="once"):
        await answers.once("1", work)
    assert (await answers.once("1", work)).ok


@pytest.mark.asyncio
async def test_only_the_newest_are_remembered() -> None:
    answers, work = Answers(remembered=2), Work()
    for request_id in ("1", "2", "3", "1"):
        await answers.once(request_id, work)
    assert work.done == 4
