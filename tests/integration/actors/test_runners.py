"""Runners on a real NATS: what one may start, what it may not, and its end."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.control import control_spec
from tests.support.nats import BusUnderTest, serve_bus
from tests.support.workloads import start_request
from tulle.actors.supervisor.actor import SupervisorActor
from tulle.actors.supervisor.launcher import MemoryLauncher
from tulle.bus import nkeys
from tulle.bus.codec import encode
from tulle.bus.connection import Connection, connect
from tulle.bus.credentials import Credentials
from tulle.bus.errors import ConnectFailed, Forbidden
from tulle.bus.jetstream import existing_store
from tulle.bus.keeping import (
    RunnerAddRequest,
    RunnerAnswer,
    RunnerListRequest,
    RunnerRemoveRequest,
    RunnersAnswer,
)
from tulle.bus.messages import (
    Answer,
    GetRequest,
    Lease,
    MeshRequest,
    Request,
    ServicesAnswer,
    StartAnswer,
    StopRequest,
)
from tulle.bus.permissions import Role
from tulle.bus.store import epoch
from tulle.bus.subjects import Bucket
from tulle.deploy.api import AnswerT, Api
from tulle.deploy.errors import NotAllowed

USER = nkeys.generate(nkeys.Kind.USER)


@dataclass(slots=True)
class World:
    bus: BusUnderTest
    operator: Connection

    async def ask(
        self, by: Connection, subject: str, request: Request, expected: type[AnswerT]
    ) -> AnswerT:
        return await Api(self.bus.subjects.mesh, by).ask(subject, request, expected)

    async def add(self, name: str = "ci", account: str = "reviews", **more: str) -> RunnerAnswer:
        fields = {"id": f"{name}-{account}", "name": name, "account": account, "user": USER.public}
        request = RunnerAddRequest.model_validate(fields | more)
        subject = self.bus.subjects.api_runner("add")
        return await self.ask(self.operator, subject, request, RunnerAnswer)

    async def start(self, by: Connection, account: str, namespace: str = "default") -> StartAnswer:
        subject = self.bus.subjects.api_workload("start", namespace, account)
        return await self.ask(by, subject, start_request(service=account), StartAnswer)

    async def state(self, workload: str) -> str:
        subject = self.bus.subjects.api_mesh("workloads")
        answer = await self.ask(self.operator, subject, MeshRequest(id="s"), ServicesAnswer)
        return next(w.state for s in answer.services for w in s.workloads if w.id == workload)


def credentials(answer: RunnerAnswer) -> Credentials:
    assert answer.ok, answer.problems
    return Credentials(answer.url, answer.user, answer.jwt, USER.seed)


@pytest_asyncio.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with serve_bus() as bus:
        await epoch(await bus.open_store(Bucket.POLICIES), "e1")
        supervisor = SupervisorActor(control_spec(bus, tmp_path, "supervisor"), MemoryLauncher())
        await supervisor.health()
        yield World(bus, await bus.connect(Role.OPERATOR))
        await supervisor.stop()


@pytest_asyncio.fixture
async def runner(world: World) -> AsyncIterator[Connection]:
    who = credentials(await world.add())
    async with await connect(who.url, who, name="runner") as connection:
        yield connection


@pytest.mark.asyncio
async def test_a_runner_starts_keeps_and_stops_what_is_its_own(
    world: World, runner: Connection
) -> None:
    started = await world.start(runner, "reviews")
    assert started.ok, started.problems
    lease = Lease(workload=started.workload, state="ready")
    await runner.publish(
        world.bus.subjects.lease("default", "reviews", started.workload), encode(lease)
    )
    async with asyncio.timeout(5):
        while await world.state(started.workload) != "ready":  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    stop = StopRequest(id="stop", workload=started.workload, phase="gone")
    subject = world.bus.subjects.api_workload("stop", "default", "reviews")
    assert (await world.ask(runner, subject, stop, Answer)).ok


@pytest.mark.asyncio
async def test_a_runner_is_refused_all_else_at_once(world: World, runner: Connection) -> None:
    subjects, asked = world.bus.subjects, GetRequest(id="1")
    async with asyncio.timeout(5):
        for namespace, account in (("default", "ratings"), ("other", "reviews")):
            with pytest.raises(NotAllowed, match="runner-ci"):
                await world.start(runner, account, namespace)
        for subject in (
            subjects.api_policy("apply"),
            subjects.api_policy("list"),
            subjects.api_mesh("services"),
            subjects.api_credential("list"),
            subjects.api_runner("add"),
        ):
            with pytest.raises(NotAllowed):
                await world.ask(runner, subject, asked, Answer)
        for bucket in Bucket:
            with pytest.raises(Forbidden):
                await existing_store(runner, subjects, bucket).get("a")


@pytest.mark.asyncio
async def test_a_runner_can_not_keep_or_stop_what_is_of_another(
    world: World, runner: Connection
) -> None:
    all_of_them = await world.bus.connect(Role.RUNNER)
    other = await world.start(all_of_them, "ratings")
    lease = encode(Lease(workload=other.workload, state="ready"))
    await runner.publish(world.bus.subjects.lease("default", "reviews", other.workload), lease)
    await runner.flush()
    stop = StopRequest(id="stop", workload=other.workload, phase="gone")
    subject = world.bus.subjects.api_workload("stop", "default", "reviews")
    refused = await world.ask(runner, subject, stop, Answer)
    assert [problem.code for problem in refused.problems] == ["not-yours"]
    assert await world.state(other.workload) == "starting"


@pytest.mark.asyncio
async def test_a_removed_runner_is_out_at_once_and_others_stay(
    world: World,
) -> None:
    who, lost = credentials(await world.add()), asyncio.Event()
    runner = await connect(who.url, who, name="runner")
    runner.on_disconnect(lost.set)
    request = RunnerRemoveRequest(id="r", name="ci")
    subject = world.bus.subjects.api_runner("remove")
    assert (await world.ask(world.operator, subject, request, Answer)).ok
    await asyncio.wait_for(lost.wait(), 5)
    await runner.close()
    assert world.operator.connected
    listed = await world.ask(
        world.operator,
        world.bus.subjects.api_runner("list"),
        RunnerListRequest(id="l"),
        RunnersAnswer,
    )
    assert listed.runners == []
    await world.bus.server.restart()
    with pytest.raises(ConnectFailed, match="'runner-ci' was refused"):
        await connect(who.url, who, name="again")


@pytest.mark.asyncio
async def test_the_same_again_is_answered_again(world: World) -> None:
    """As after a lost answer of a supervisor that is gone, whose successor has not seen the id."""
    first = await world.add()
    again = await world.add(id="another")
    assert (again.ok, again.user, again.changes) == (True, first.user, first.changes)
    moved = await world.add(namespace="other", id="fourth")
    assert [problem.code for problem in moved.problems] == ["runner-exists"]


@pytest.mark.asyncio
async def test_what_is_no_runner_is_refused_with_all_reasons(world: World) -> None:
    answer = await world.add("CI", "Reviews", user="x")
    assert [problem.path for problem in answer.problems] == ["name", "account", "user"]
    assert (await world.add()).ok
    again = await world.add(id="another", user=nkeys.generate(nkeys.Kind.USER).public)
    assert [problem.code for problem in again.problems] == ["runner-exists"]
    request = RunnerRemoveRequest(id="r", name="nobody")
    subject = world.bus.subjects.api_runner("remove")
    unknown = await world.ask(world.operator, subject, request, Answer)
    assert unknown.problems[0].code == "unknown-runner" and "ci" in unknown.problems[0].message


@pytest.mark.asyncio
async def test_a_server_that_forgot_who_was_removed_is_told_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one that others run does, which starts again with what it was given once."""
    removed = credentials(await world.add())
    request = RunnerRemoveRequest(id="r", name="ci")
    subject = world.bus.subjects.api_runner("remove")
    assert (await world.ask(world.operator, subject, request, Answer)).ok
    monkeypatch.setattr("tulle.bus.server.read_revoked", lambda _: {})
    await world.bus.server.restart()
    async with asyncio.timeout(10):
        while not await is_refused(removed):  # noqa: ASYNC110 - a question to NATS
            await asyncio.sleep(0.05)


async def is_refused(user: Credentials) -> bool:
    try:
        await (await connect(user.url, user, name="removed", first_timeout=3)).close()
    except ConnectFailed as error:
        return "was refused" in str(error)
    return False
