"""Requests become answers, whatever is wrong with them or happens on the way."""

import asyncio
from typing import cast

import pytest

from tests.support.awaiting import until
from tulle.actors.serving import Endpoint, Server, by_verb, endpoint
from tulle.bus.codec import decode, encode
from tulle.bus.connection import Connection
from tulle.bus.errors import NoAnswer
from tulle.bus.messages import Answer, ScaleRequest
from tulle.bus.subjects import Subjects
from tulle.bus.subscription import Handler, Message

SUBJECTS = Subjects("test")
REQUEST = ScaleRequest(id="1", pool="ingress", replicas=2)


async def scale(parts: tuple[str, ...], request: ScaleRequest) -> Answer | None:
    match request.pool:
        case "bus":
            raise NoAnswer("$KV", 5.0)
        case "bug":
            raise KeyError("bug")
        case "other":
            return None
    return Answer(id=request.id, ok=True, changes=[*parts, request.pool])


SCALE = endpoint(ScaleRequest, scale)


async def answer(pool: str) -> Answer | None:
    return await SCALE(("scale",), encode(REQUEST.model_copy(update={"pool": pool})))


@pytest.mark.asyncio
async def test_a_request_is_handled_with_its_subjects_parts() -> None:
    assert await answer("ingress") == Answer(id="1", ok=True, changes=["scale", "ingress"])


@pytest.mark.asyncio
async def test_what_is_no_request_is_said() -> None:
    refused = await SCALE((), b'{"id": "1", "pool": "ingress", "replicas": 65}')
    assert refused is not None and not refused.ok
    assert "replicas" in refused.problems[0].message


@pytest.mark.asyncio
@pytest.mark.parametrize(("pool", "code"), [("bus", "bus"), ("bug", "internal")])
async def test_what_fails_is_an_answer_of_the_same_id(pool: str, code: str) -> None:
    refused = await answer(pool)
    assert refused is not None and not refused.ok
    assert (refused.id, refused.problems[0].code) == ("1", code)


@pytest.mark.asyncio
async def test_what_another_replica_answers_is_not_answered() -> None:
    assert await answer("other") is None


@pytest.mark.asyncio
async def test_verbs_are_told_apart() -> None:
    both = by_verb({"scale": SCALE})
    done = await both(("scale", "default"), encode(REQUEST))
    assert done is not None and done.changes == ["default", "ingress"]
    refused = await both(("shrink", "default"), encode(REQUEST))
    assert refused is not None and "'shrink' is none of scale" in refused.problems[0].message


class OneSubscription:
    """As much of a connection as a server needs."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.handler: Handler | None = None

    async def subscribe(self, subject: str, handler: Handler, queue: str = "") -> None:
        self.handler = handler

    async def publish(self, subject: str, data: bytes) -> None:
        self.answers.append(decode(Answer, data))

    async def receive(self, reply: str = "inbox") -> None:
        assert self.handler is not None
        await self.handler(Message(SUBJECTS.api_mesh("scale"), encode(REQUEST), reply))


async def serve(connection: OneSubscription, endpoint: Endpoint, at_once: int = 8) -> Server:
    server = Server(cast(Connection, connection), SUBJECTS, at_once)
    await server.serve(SUBJECTS.api_mesh("scale"), endpoint)
    return server


@pytest.mark.asyncio
async def test_a_request_that_waits_holds_up_nobody_and_too_many_are_refused() -> None:
    may_end = asyncio.Event()

    async def slow(parts: tuple[str, ...], data: bytes) -> Answer:
        await may_end.wait()
        return Answer(id="1", ok=True)

    connection = OneSubscription()
    server = await serve(connection, slow, at_once=2)
    for _ in range(3):
        await connection.receive()
    assert [one.problems[0].code for one in connection.answers] == ["busy"]
    may_end.set()
    await until(lambda: len(connection.answers) == 3)
    assert all(one.ok for one in connection.answers[1:])
    await server.stop()


@pytest.mark.asyncio
async def test_who_wants_no_answer_gets_none() -> None:
    done = asyncio.Event()

    async def quick(parts: tuple[str, ...], data: bytes) -> Answer:
        done.set()
        return Answer(id="1", ok=True)

    connection = OneSubscription()
    server = await serve(connection, quick)
    await connection.receive(reply="")
    await done.wait()
    await server.stop()
    assert connection.answers == []
