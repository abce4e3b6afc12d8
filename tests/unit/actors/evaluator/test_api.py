"""What the policy API answers when the store is slow to answer, or to show what it took."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import cast

import pytest

from tests.support.awaiting import until
from tests.support.evaluating import Evaluating
from tests.support.policies_api import GATEWAY
from tulle.actors.evaluator import api
from tulle.actors.evaluator.api import PolicyApi
from tulle.actors.evaluator.proxies import ProxyTable
from tulle.actors.evaluator.publisher import Publisher
from tulle.actors.evaluator.pulse import Pulse
from tulle.actors.leadership import Leader
from tulle.bus import codec
from tulle.bus.connection import Connection
from tulle.bus.errors import BusError, NoAnswer, StoreRefused
from tulle.bus.memory import MemoryStore
from tulle.bus.messages import Answer, ApplyRequest, PolicyFile
from tulle.bus.store import Change, Committed
from tulle.bus.subjects import Subjects
from tulle.bus.subscription import Handler, Message

SUBJECTS = Subjects("test")
Commit = Callable[[Sequence[Change]], Awaitable[Committed]]


class Mesh:
    """As much of connection and leader as the API needs; `commit` is the test's."""

    leading = True

    def __init__(self, it: Evaluating, commit: Commit) -> None:
        self.it = it
        self.commit = commit
        self.answers: list[Answer] = []
        self.handlers: dict[str, Handler] = {}
        self.seen = Pulse()

    async def subscribe(self, subject: str, handler: Handler) -> str:
        self.handlers[subject] = handler
        return subject

    async def unsubscribe(self, subject: str) -> None:
        del self.handlers[subject]

    async def publish(self, subject: str, data: bytes) -> None:
        self.answers.append(codec.decode(Answer, data))

    async def apply(self, request: str = "1") -> Answer:
        self.answers.clear()
        message = ApplyRequest(id=request, files=[PolicyFile(name="a.yaml", text=GATEWAY)])
        subject = SUBJECTS.api_policy("apply")
        await self.handlers[subject](Message(subject, codec.encode(message), "inbox"))
        await until(lambda: bool(self.answers))
        return self.answers[-1]


@asynccontextmanager
async def serving(mesh: Mesh) -> AsyncIterator[Mesh]:
    policy_api = PolicyApi(
        cast(Connection, mesh),
        SUBJECTS,
        name="one",
        epoch="e",
        leader=cast(Leader, mesh),
        picture=mesh.it.picture,
        seen=mesh.seen,
        publisher=Publisher(MemoryStore(), "one", on_published=lambda: None, leading=lambda: True),
        proxies=ProxyTable(),
        reported=Pulse(),
    )
    await policy_api.open()
    yield mesh
    await policy_api.close()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "SEEN_SECONDS", 0.01)


def codes(answer: Answer) -> list[str]:
    return [problem.code for problem in answer.problems]


@pytest.mark.asyncio
async def test_what_is_stored_is_said_to_be_although_the_own_picture_is_late() -> None:
    it = Evaluating()
    async with serving(Mesh(it, it.store.put_all)) as mesh:
        answer = await mesh.apply()
        assert answer.ok and answer.revision is not None and answer.revision.number == 2
        assert codes(answer) == ["not-published-yet"]
        assert await mesh.apply() == answer, "a retry is not refused by its own first try"
        assert codes(await mesh.apply("2")) == ["not-leading"]


@pytest.mark.asyncio
async def test_what_nobody_answers_for_is_not_said_to_be_refused() -> None:
    async def commit(changes: Sequence[Change]) -> Committed:
        raise NoAnswer("$KV", 5.0)

    async with serving(Mesh(Evaluating(), commit)) as mesh:
        answer = await mesh.apply()
    assert not answer.ok and codes(answer) == ["unknown-outcome"] and answer.revision is None


@pytest.mark.asyncio
async def test_what_was_stored_without_an_answer_shows_in_the_picture() -> None:
    it = Evaluating()

    async def commit(changes: Sequence[Change]) -> Committed:
        await it.store.put_all(changes)
        await it.follow()
        raise NoAnswer("$KV", 5.0)

    async with serving(Mesh(it, commit)) as mesh:
        answer = await mesh.apply()
    assert answer.ok and answer.revision is not None
    assert answer.revision.number == it.picture.revision


@pytest.mark.parametrize(
    ("error", "code"),
    [(StoreRefused("$KV", 1, "no"), "store-refused"), (KeyError("bug"), "internal")],
)
@pytest.mark.asyncio
async def test_only_what_passes_is_worth_a_retry(error: BusError | KeyError, code: str) -> None:
    async def commit(changes: Sequence[Change]) -> Committed:
        raise error

    async with serving(Mesh(Evaluating(), commit)) as mesh:
        assert codes(await mesh.apply()) == [code]


@pytest.mark.asyncio
async def test_one_that_does_not_lead_any_more_leaves_the_answer_to_who_does() -> None:
    """As when it was frozen: what came meanwhile was answered by another."""
    it = Evaluating()
    async with serving(Mesh(it, it.store.put_all)) as mesh:
        mesh.leading = False
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await mesh.apply()
        assert mesh.answers == []
        assert await it.store.get_all() == []
