"""Work is done while a replica leads, and only then."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.awaiting import until
from tulle.actors.terms import Terms


class Office:
    """Counts terms that began and those that go on."""

    def __init__(self) -> None:
        self.terms = Terms("one")
        self.began = self.at_work = 0
        self.mistake: Exception | None = None
        self.running = asyncio.create_task(self.terms.run(self.work))

    async def work(self) -> None:
        self.began += 1
        self.at_work += 1
        try:
            if self.mistake is not None:
                raise self.mistake
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            self.at_work -= 1


@pytest_asyncio.fixture
async def office() -> AsyncIterator[Office]:
    office = Office()
    yield office
    office.running.cancel()
    await asyncio.wait([office.running])
    assert office.at_work == 0, "nobody works on after the end"


@pytest.mark.asyncio
async def test_work_ends_with_the_term_and_begins_with_the_next(office: Office) -> None:
    for number in (1, 2):
        office.terms.on_change(True)
        await until(lambda: office.at_work == 1)
        assert office.began == number
        office.terms.on_change(False)
        await until(lambda: office.at_work == 0)


@pytest.mark.asyncio
async def test_however_often_it_changes_only_the_newest_counts(office: Office) -> None:
    for _ in range(1000):
        office.terms.on_change(True)
        office.terms.on_change(False)
    office.terms.on_change(True)
    await until(lambda: office.at_work == 1)
    assert office.began == 1


@pytest.mark.asyncio
async def test_a_term_that_fails_says_so(office: Office) -> None:
    office.mistake = KeyError("bug")
    office.terms.on_change(True)
    with pytest.raises(KeyError):
        await asyncio.wait_for(office.running, 5)
