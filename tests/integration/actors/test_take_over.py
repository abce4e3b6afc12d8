"""Leaders die or freeze in the middle of a change: it is made once or not at all, never by two."""

import asyncio
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.awaiting import until
from tests.support.control import control_spec
from tests.support.control_process import Replica, replica
from tests.support.gateway_certificates import certificate_pem, key_pem, make_key
from tests.support.nats import BusUnderTest, serve_bus
from tests.support.policies_api import PolicyClient, virtual_service
from tests.support.workloads import start_request
from tulle.actors.authority.disk import load_ticket_key
from tulle.actors.control import Role as ControlRole
from tulle.actors.evaluator.records import LogRecord
from tulle.actors.leadership import Timing
from tulle.bus import codec, keys
from tulle.bus.connection import Connection
from tulle.bus.errors import BusError, NoAnswer, NobodyListens
from tulle.bus.keeping import CredentialAddRequest, RunnerAddRequest, RunnerAnswer
from tulle.bus.messages import (
    Answer,
    ApplyRequest,
    MeshRequest,
    PolicyFile,
    ServicesAnswer,
    StartAnswer,
    StatusAnswer,
)
from tulle.bus.nkeys import Kind, generate
from tulle.bus.permissions import Role
from tulle.bus.subjects import Bucket
from tulle.deploy.api import Api, passes

FAST = Timing(patience=0.6, refresh=0.2, poll=0.1)
PARTS = ("a", "b", "c")
"""What a change is made of: documents of one apply."""
WITHIN = 3.0
"""Seconds within which another leader answers."""


@pytest_asyncio.fixture
async def bus() -> AsyncIterator[BusUnderTest]:
    async with serve_bus() as bus:
        await bus.open_all()
        yield bus


@dataclass
class Replicas:
    """Two of a role, and who talks to them."""

    bus: BusUnderTest
    home: Path
    role: ControlRole
    stack: AsyncExitStack
    timing: Timing | None = None
    living: list[Replica] = field(default_factory=list)

    async def start(self, number: int) -> Replica:
        spec = control_spec(self.bus, self.home, self.role)
        spec = replace(spec, id=str(number), log_folder=str(self.home))
        started = await self.stack.enter_async_context(replica(spec, self.timing))
        self.living.append(started)
        return started

    async def two(self) -> None:
        """They start at once."""
        await asyncio.gather(self.start(1), self.start(2))

    def by_name(self, name: str) -> Replica:
        return next(one for one in self.living if one.name == name)


@dataclass
class Changes:
    """Applies one change after the other, each under an id of its own; asked again as `tulle apply`
    does it, only sooner."""

    bus: BusUnderTest
    connection: Connection
    answers: dict[str, Answer] = field(default_factory=dict)
    enough: bool = False

    @asynccontextmanager
    async def going_on(self) -> AsyncIterator[None]:
        """Changes are made while the block runs; at its end the last is answered."""
        running = asyncio.create_task(self._run())
        yield
        self.enough = True
        await running

    async def _run(self) -> None:
        self.enough = False
        while not self.enough:
            request = self._request(len(self.answers) + 1)
            self.answers[request.id] = await self._ask(request)

    async def _ask(self, request: ApplyRequest) -> Answer:
        subject = self.bus.subjects.api_policy("apply")
        async with asyncio.timeout(20):
            while True:
                with suppress(NoAnswer, NobodyListens):
                    message = await self.connection.request(subject, codec.encode(request), 0.3)
                    answer = codec.decode(Answer, message.data)
                    if not passes(answer):
                        return answer
                await asyncio.sleep(0.02)

    async def more(self, count: int) -> None:
        """Returns when that many more are answered."""
        enough = len(self.answers) + count
        await until(lambda: len(self.answers) >= enough, 20)

    async def again(self) -> dict[str, Answer]:
        """All that was answered, asked for once more."""
        numbers = [int(id.removeprefix("change-")) for id in self.answers]
        requests = map(self._request, numbers)
        return {it.id: await self._ask(it) for it in requests}

    def _request(self, number: int) -> ApplyRequest:
        text = "".join(
            virtual_service(f"{part}-{number % 7}", f"destination: {{host: v{number}}}")
            for part in PARTS
        )
        files = [PolicyFile(name="test.yaml", text=text)]
        return ApplyRequest(id=f"change-{number}", files=files)


async def evaluators(
    stack: AsyncExitStack, bus: BusUnderTest, home: Path, timing: Timing
) -> Replicas:
    group = Replicas(bus, home, "evaluator", stack, timing)
    await group.two()
    return group


async def leader_now(bus: BusUnderTest, connection: Connection, *, but: str = "") -> str:
    """Who answers, once that is another than `but`."""
    subject = bus.subjects.api_mesh("status")
    async with asyncio.timeout(20):
        while True:
            request = codec.encode(MeshRequest(id=secrets.token_hex(4)))
            with suppress(BusError):
                answer = await connection.request(subject, request, 0.2)
                name = codec.decode(StatusAnswer, answer.data).leader
                if name != but:
                    return name
            await asyncio.sleep(0.02)


async def log_of(bus: BusUnderTest) -> list[LogRecord]:
    store = await bus.open_store(Bucket.POLICIES)
    return [codec.decode(LogRecord, entry.value) for entry in await store.get_all("log")]


async def check(bus: BusUnderTest, client: PolicyClient, changes: Changes) -> None:
    """Each change was made once, whole, and its maker was told so; again makes it no more."""
    assert all(answer.ok for answer in changes.answers.values())
    logged = Counter(record.id for record in await log_of(bus))
    assert set(logged.values()) == {1}, "an id was carried out twice"
    assert changes.answers.keys() == logged.keys(), "what was acknowledged is there, and no more"
    documents = {policy.name: str(policy.data) for policy in (await client.policies()).policies}
    slots = {name.partition("-")[2] for name in documents}
    for slot in slots:
        hosts = {documents[f"{part}-{slot}"].partition("'host': '")[2][:6] for part in PARTS}
        assert len(hosts) == 1, f"half of a change: {hosts}"
    before = await log_of(bus)
    for id, answer in (await changes.again()).items():
        first = changes.answers[id]
        assert (answer.revision, answer.changes) == (first.revision, first.changes), id
    assert await log_of(bus) == before


@pytest.mark.asyncio
async def test_a_change_in_flight_at_a_death_is_made_once_or_not_at_all_within_three_seconds(
    bus: BusUnderTest, tmp_path: Path
) -> None:
    """Right after a refresh, when it takes longest until another leads."""
    took: list[float] = []
    async with AsyncExitStack() as stack:
        group = await evaluators(stack, bus, tmp_path, Timing())
        connection = await bus.connect(Role.OPERATOR)
        client = PolicyClient(connection, bus.subjects)
        changes = Changes(bus, connection)
        # A machine that is busy with other tests may take longer once or twice.
        while len(took) < 3 and min(took, default=WITHIN) >= WITHIN:
            first = await leader_now(bus, connection)
            async with changes.going_on():
                await changes.more(5)
                await _refreshed(bus)
                group.by_name(first).kill()
                began = time.monotonic()
                second = await leader_now(bus, connection, but=first)
                took.append(time.monotonic() - began)
                await changes.more(5)
            assert second != first
            await group.start(len(group.living) + 1)
        await check(bus, client, changes)
    print(f"another evaluator answers {min(took):.2f} s after the death of the first")
    assert min(took) < WITHIN


async def _refreshed(bus: BusUnderTest) -> None:
    """Returns when the leader wrote its key, by itself or with a change."""
    store = await bus.open_store(Bucket.POLICIES)
    before = await store.get(keys.LEADER)
    async with asyncio.timeout(5):
        while await store.get(keys.LEADER) == before:  # noqa: ASYNC110
            await asyncio.sleep(0.001)


@pytest.mark.asyncio
async def test_a_frozen_leader_writes_nothing_when_it_wakes(
    bus: BusUnderTest, tmp_path: Path
) -> None:
    async with AsyncExitStack() as stack:
        group = await evaluators(stack, bus, tmp_path, FAST)
        connection = await bus.connect(Role.OPERATOR)
        client = PolicyClient(connection, bus.subjects)
        changes = Changes(bus, connection)
        async with changes.going_on():
            for _ in range(2):
                first = await leader_now(bus, connection)
                await asyncio.sleep(secrets.randbelow(10) / 1000)
                frozen = group.by_name(first)
                frozen.freeze()
                second = await leader_now(bus, connection, but=first)
                await changes.more(5)
                await thawed(frozen)
                await changes.more(20)
                assert await leader_now(bus, connection) == second
        await check(bus, client, changes)


async def thawed(leader: Replica) -> None:
    """Returns when one that was frozen has seen that it leads no more."""
    terms = leader.said().count("leading=False")
    leader.thaw()
    await until(lambda: leader.said().count("leading=False") > terms)


# Supervisors.


@dataclass
class Mesh:
    """What is asked of supervisors."""

    bus: BusUnderTest
    operator: Api
    runner: Api

    async def start(self, number: int) -> StartAnswer:
        subject = self.bus.subjects.api_workload("start", "default", "reviews")
        request = start_request(request_id=f"start-{number}")
        return await self.runner.ask(subject, request, StartAnswer, 20)

    async def add_runner(self, name: str, user: str) -> RunnerAnswer:
        request = RunnerAddRequest(
            id=f"runner-{name}", name=name, namespace="default", account="a", user=user
        )
        subject = self.bus.subjects.api_runner("add")
        return await self.operator.ask(subject, request, RunnerAnswer, 20)

    async def add_credential(self, name: str) -> Answer:
        key = make_key()
        pem = certificate_pem(key, "a.example", begins=time.time() - 60)
        request = CredentialAddRequest(
            id=f"credential-{name}", name=name, certificate=pem, private_key=key_pem(key)
        )
        return await self.operator.ask(self.bus.subjects.api_credential("add"), request, Answer, 20)

    async def written(self) -> dict[str, int]:
        """All keys of the supervisors' buckets but who leads, with their revisions."""
        found: dict[str, int] = {}
        for bucket in (Bucket.REGISTRY, Bucket.DESIRED, Bucket.CREDENTIALS):
            store = await self.bus.open_store(bucket)
            found |= {f"{bucket}/{it.key}": it.revision for it in await store.get_all()}
        return {key: revision for key, revision in found.items() if not key.endswith("/leader")}


@pytest.mark.asyncio
async def test_two_supervisors_never_both_write(bus: BusUnderTest, tmp_path: Path) -> None:
    await asyncio.to_thread(load_ticket_key, tmp_path / "authority")
    async with AsyncExitStack() as stack:
        group = Replicas(bus, tmp_path, "supervisor", stack)
        first = await group.start(1)
        await until(lambda: "leads: name=" in first.said())
        second = await group.start(2)
        mesh = Mesh(
            bus,
            Api(bus.subjects.mesh, await bus.connect(Role.OPERATOR)),
            Api(bus.subjects.mesh, await bus.connect(Role.RUNNER)),
        )
        starts = [asyncio.create_task(mesh.start(number)) for number in range(20)]
        await asyncio.wait(starts, return_when=asyncio.FIRST_COMPLETED)
        first.freeze()
        user = generate(Kind.USER).public
        # All of this reaches the frozen one, too.
        runner, credential = await asyncio.gather(
            mesh.add_runner("ci", user), mesh.add_credential("shop")
        )
        started = await asyncio.gather(*starts)
        assert runner.ok and credential.ok, (runner, credential)
        assert "leads: name=" in second.said()
        assert all(answer.ok for answer in started)
        ids = [answer.workload for answer in started]
        assert len(set(ids)) == len(ids)
        await until_settled(mesh)
        before = await mesh.written()
        await thawed(first)
        answer = await mesh.operator.ask(
            bus.subjects.api_mesh("services"), MeshRequest(id="list"), ServicesAnswer
        )
        assert {w.id for it in answer.services for w in it.workloads} == set(ids)
        assert await mesh.written() == before
        desired = {key for key in before if "/workload." in key}
        assert len(desired) == len(ids)
        # The same requests again are answered, not carried out.
        assert (await mesh.start(3)).workload == ids[3]
        assert (await mesh.add_runner("ci", user)).user == runner.user
        assert await mesh.written() == before


async def until_settled(mesh: Mesh) -> None:
    """Nobody's lease comes: what was started is drained in time, at most half of it at once."""
    last: dict[str, int] = {}
    async with asyncio.timeout(5):
        while (now := await mesh.written()) != last:
            last = now
            await asyncio.sleep(0.1)
