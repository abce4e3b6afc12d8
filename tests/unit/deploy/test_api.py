"""Requests are sent again while nobody answers, with the same id."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tulle.bus import codec
from tulle.bus.errors import BusError, NoAnswer, NobodyListens, UserRefused
from tulle.bus.messages import Answer, MeshRequest, ProblemRecord
from tulle.bus.subscription import Message
from tulle.deploy import api
from tulle.deploy.api import Api
from tulle.deploy.errors import Failure, NoMesh, NotAllowed
from tulle.deploy.settings import Settings

DONE = Answer(id="1", ok=True)
WORKING = DONE.model_copy(update={"done": False})
REQUEST = MeshRequest(id="1")


class Script:
    """Each request gets the next entry: an error, or answers."""

    def __init__(self, *script: BusError | list[Answer | BusError]) -> None:
        self.script = list(script)
        self.asked: list[bytes] = []

    async def request(self, subject: str, data: bytes, timeout: float) -> Message:  # noqa: ASYNC109
        async for message in self.request_many(subject, data, timeout, done=lambda _: True):
            return message
        raise AssertionError

    async def request_many(
        self,
        subject: str,
        data: bytes,
        timeout: float,  # noqa: ASYNC109
        *,
        done: Callable[[Message], bool],
    ) -> AsyncIterator[Message]:
        self.asked.append(data)
        entry = self.script.pop(0) if self.script else NobodyListens(subject)
        for answer in [entry] if isinstance(entry, BusError) else entry:
            if isinstance(answer, BusError):
                raise answer
            yield Message(subject, codec.encode(answer))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "_ATTEMPT_SECONDS", 0.001)
    monkeypatch.setattr(api, "_RETRY_SECONDS", 0.001)


@pytest.mark.asyncio
async def test_a_mesh_without_a_leader_is_asked_again() -> None:
    script = Script(NobodyListens("s"), NoAnswer("s", 3), [DONE])

    assert await Api("m", script).ask("s", REQUEST, Answer) == DONE
    assert len(set(script.asked)) == 1 and len(script.asked) == 3


@pytest.mark.asyncio
async def test_it_gives_up_in_time() -> None:
    with pytest.raises(NoMesh, match="nobody in the mesh answers"):
        async with asyncio.timeout(5):
            await Api("m", Script()).ask("s", REQUEST, Answer, seconds=0.05)


@pytest.mark.asyncio
async def test_what_is_followed_goes_on_with_the_next_leader() -> None:
    script = Script([WORKING, NoAnswer("s", 3)], [WORKING, DONE])

    assert [a.done async for a in Api("m", script).follow("s", REQUEST)] == [False, False, True]


@pytest.mark.asyncio
async def test_a_refusal_of_the_bus_is_not_retried() -> None:
    class Odd(BusError):
        """Not one of those that pass."""

    script = Script(Odd("no"), [DONE])
    with pytest.raises(Failure, match="no"):
        await Api("m", script).ask("s", REQUEST, Answer)
    assert len(script.asked) == 1


def refused(code: str) -> Answer:
    problem = ProblemRecord(code=code, severity="error", message="not now")
    return Answer(id="1", ok=False, problems=[problem])


@pytest.mark.parametrize("code", sorted(api.AGAIN))
@pytest.mark.asyncio
async def test_who_can_not_now_is_asked_again_with_the_same_id(code: str) -> None:
    script = Script([refused(code)], [DONE])
    assert await Api("m", script).ask("s", REQUEST, Answer) == DONE
    followed = Script([refused(code)], [WORKING, DONE])
    assert [a.done async for a in Api("m", followed).follow("s", REQUEST)] == [False, True]
    assert len(set(script.asked + followed.asked)) == 1


@pytest.mark.asyncio
async def test_who_can_not_for_long_is_believed() -> None:
    busy: list[Answer | BusError] = [refused("busy")]
    script = Script(*[busy] * 1000)
    async with asyncio.timeout(5):
        assert await Api("m", script).ask("s", REQUEST, Answer, seconds=0.05) == refused("busy")
    followed = [a async for a in Api("m", script).follow("s", REQUEST, seconds=0.05)]
    assert followed == [refused("busy")]


@pytest.mark.asyncio
async def test_a_refusal_is_kept() -> None:
    script = Script([refused("schema")], [DONE])
    assert await Api("m", script).ask("s", REQUEST, Answer) == refused("schema")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "can't read the credentials .*: no such file or directory"),
        ("", "is not JSON"),
        ("{}", "no 'url'"),
        ("[]", "holds no credentials"),
    ],
)
def test_credentials_that_are_none_are_said_with_what_to_do(
    tmp_path: Path, content: str | None, why: str
) -> None:
    path = tmp_path / "ci.json"
    if content is not None:
        path.write_text(content)
    of = Settings(home=tmp_path, creds=path)

    with pytest.raises(Failure, match=f"{why}.*; name a file of `tulle runner add`") as failed:
        api.credentials(of, "runner")
    assert "Errno" not in str(failed.value)


def test_nats_alone_is_no_mesh(tmp_path: Path) -> None:
    of = Settings(home=tmp_path, nats="nats://127.0.0.1:4222")

    with pytest.raises(NoMesh, match="TULLE_NATS is set and TULLE_CREDS is not"):
        api.credentials(of, "operator")


def test_a_user_that_nats_refuses_is_no_missing_mesh() -> None:
    with pytest.raises(NotAllowed, match="user 'runner-ci' was refused"), api.said_plainly():
        raise UserRefused("nats://127.0.0.1:4222", "runner-ci")
