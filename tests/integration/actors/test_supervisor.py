"""The supervisor on a real NATS, with a launcher in memory instead of Ray."""

import asyncio
import secrets
import shutil
import stat
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import pytest
import pytest_asyncio
from pydantic import BaseModel

from tests.support.awaiting import until
from tests.support.control import control_spec
from tests.support.nats import BusUnderTest, serve_bus
from tests.support.workloads import port, start_request
from tulle.actors.authority.disk import load_ticket_key
from tulle.actors.authority.tickets import verify_ticket
from tulle.actors.supervisor.actor import SupervisorActor
from tulle.actors.supervisor.launcher import MemoryLauncher
from tulle.bus import keys
from tulle.bus.codec import decode, encode
from tulle.bus.connection import Connection
from tulle.bus.credentials import Credentials
from tulle.bus.errors import BusError, NoAnswer
from tulle.bus.messages import (
    Answer,
    DesiredWorkload,
    Heartbeat,
    Lease,
    MeshRequest,
    PoolRecord,
    ProxyStatus,
    Request,
    ScaleRequest,
    ServiceRecord,
    ServicesAnswer,
    StartAnswer,
    StartRequest,
    StopRequest,
    Workload,
)
from tulle.bus.permissions import Role
from tulle.bus.store import epoch
from tulle.bus.subjects import Bucket
from tulle.bus.subscription import Message

AnswerT = TypeVar("AnswerT", bound=Answer)
RecordT = TypeVar("RecordT", bound=BaseModel)


@dataclass(slots=True)
class World:
    """A leading supervisor, and the connections of those who talk to it."""

    bus: BusUnderTest
    home: Path
    launcher: MemoryLauncher
    runner: Connection
    operator: Connection
    supervisor: SupervisorActor | None = None
    proxies: dict[str, Connection] = field(default_factory=dict)

    async def ask(
        self, by: Connection, subject: str, request: Request, expected: type[AnswerT]
    ) -> AnswerT:
        return decode(expected, (await by.request(subject, encode(request), 10)).data)

    async def start(self, request: StartRequest, account: str = "reviews") -> StartAnswer:
        subject = self.bus.subjects.api_workload("start", "default", account)
        return await self.ask(self.runner, subject, request, StartAnswer)

    async def started(self, version: str = "v1") -> str:
        """The id of a new, ready workload of `reviews`."""
        answer = await self.start(start_request(version=version))
        assert answer.ok, answer.problems
        await self.lease(answer.workload, "ready")
        await self.until_state(answer.workload, "ready")
        return answer.workload

    async def stop(self, workload: str, phase: str, account: str = "reviews") -> Answer:
        request = StopRequest.model_validate({"id": new_id(), "workload": workload, "phase": phase})
        subject = self.bus.subjects.api_workload("stop", "default", account)
        return await self.ask(self.runner, subject, request, Answer)

    async def scale(self, pool: str, replicas: int) -> Answer:
        request = ScaleRequest(id=new_id(), pool=pool, replicas=replicas)
        return await self.ask(self.operator, self.bus.subjects.api_mesh("scale"), request, Answer)

    async def lease(self, workload: str, state: str) -> None:
        lease = Lease.model_validate({"workload": workload, "state": state})
        subject = self.bus.subjects.lease("default", "reviews", workload)
        await self.runner.publish(subject, encode(lease))

    async def asked_by_lease(self, workload: str, account: str = "reviews") -> list[str]:
        """The problems in the answer to a lease; raises `NoAnswer` when there is none."""
        lease = Lease(workload=workload, state="ready")
        subject = self.bus.subjects.lease("default", account, workload)
        answer = await self.runner.request(subject, encode(lease), 0.5)
        return [problem.code for problem in decode(Answer, answer.data).problems]

    async def report(self, status: ProxyStatus) -> None:
        if status.id not in self.proxies:
            self.proxies[status.id] = await self.bus.connect_proxy(status.id)
        proxy = self.proxies[status.id]
        await proxy.publish(self.bus.subjects.status_proxy(status.id), encode(status))

    async def services(self) -> dict[str, ServiceRecord]:
        answer = await self.ask(
            self.operator,
            self.bus.subjects.api_mesh("services"),
            MeshRequest(id=new_id()),
            ServicesAnswer,
        )
        return {service.name: service for service in answer.services}

    async def workloads(self) -> dict[str, Workload]:
        services = (await self.services()).values()
        return {one.id: one for service in services for one in service.workloads}

    async def until_state(self, workload: str, state: str | None) -> None:
        """Waits until the registry says so; None: until the workload is not in it."""

        def reached(workloads: dict[str, Workload]) -> bool:
            found = workloads.get(workload)
            return (found.state if found is not None else None) == state

        await self.until_workloads(reached)

    async def until_workloads(self, condition: Callable[[dict[str, Workload]], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition(await self.workloads()):  # noqa: ASYNC110 - a question to NATS
                await asyncio.sleep(0.01)

    async def stored(self, bucket: Bucket, key: str, kind: type[RecordT]) -> RecordT | None:
        store = await self.bus.existing_store(Role.SUPERVISOR, bucket)
        entry = await store.get(key)
        return decode(kind, entry.value) if entry is not None and entry.value else None

    async def start_supervisor(self) -> None:
        spec = control_spec(self.bus, self.home, "supervisor")
        self.supervisor = SupervisorActor(spec, self.launcher)
        await self.supervisor.health()
        await self.until_leading()

    async def stop_supervisor(self) -> None:
        if self.supervisor is not None:
            await self.supervisor.stop()

    async def until_leading(self) -> None:
        async with asyncio.timeout(10):
            while not await self._answers():  # noqa: ASYNC110 - a question to NATS
                await asyncio.sleep(0.02)

    async def _answers(self) -> bool:
        request = MeshRequest(id=new_id())
        try:
            await self.operator.request(
                self.bus.subjects.api_mesh("services"), encode(request), 0.1
            )
        except BusError:
            return False
        return True


def new_id() -> str:
    return secrets.token_hex(8)


@pytest_asyncio.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with serve_bus() as bus:
        runner, operator = await bus.connect(Role.RUNNER), await bus.connect(Role.OPERATOR)
        await epoch(await bus.open_store(Bucket.POLICIES), "e1")
        world = World(bus, tmp_path, MemoryLauncher(), runner, operator)
        await world.start_supervisor()
        yield world
        await world.stop_supervisor()


@pytest.mark.asyncio
async def test_a_workload_starts_and_becomes_an_endpoint_by_its_lease(world: World) -> None:
    answer = await world.start(start_request())
    assert answer.ok, answer.problems
    workload = (await world.workloads())[answer.workload]
    assert workload.state == "starting"
    assert workload.labels == {"app": "reviews", "version": "v1"}
    assert (workload.node, workload.ports) == ("node-1", {9080: 15006})
    await world.lease(answer.workload, "ready")
    await world.until_state(answer.workload, "ready")


@pytest.mark.asyncio
async def test_its_sidecar_is_told_who_it_is(world: World) -> None:
    workload = await world.started()
    spec = world.launcher.running[workload]
    assert (spec.role, spec.node, spec.service, spec.version) == (
        "sidecar",
        "node-1",
        "reviews",
        "v1",
    )
    assert spec.spiffe_id == "spiffe://cluster.local/ns/default/sa/reviews"
    key = load_ticket_key(world.home / "authority")
    ticket = verify_ticket(key, spec.ticket, time.time())
    assert (ticket.proxy, ticket.namespace, ticket.account) == (workload, "default", "reviews")


@pytest.mark.asyncio
async def test_a_retried_start_is_answered_again_and_starts_nothing(world: World) -> None:
    request = start_request()
    first, second = await asyncio.gather(world.start(request), world.start(request))
    assert first == second
    await world.stop_supervisor()
    await world.start_supervisor()
    assert (await world.start(request)).workload == first.workload
    assert list(await world.workloads()) == [first.workload]


@pytest.mark.asyncio
async def test_what_contradicts_the_service_is_refused(world: World) -> None:
    await world.started()
    other_account = await world.start(start_request(), account="other")
    assert "use --service-account reviews" in other_account.problems[0].message
    other_port = await world.start(start_request(ports=[port(9081)]))
    assert "9080/http" in other_port.problems[0].message
    other_protocol = await world.start(start_request(ports=[port(protocol="tcp")]))
    assert "9080/tcp" in other_protocol.problems[0].message
    assert len(await world.workloads()) == 1


@pytest.mark.asyncio
async def test_a_node_that_the_mesh_does_not_have_is_refused(world: World) -> None:
    world.launcher.node_ids = ["elsewhere"]
    answer = await world.start(start_request())
    assert not answer.ok and "elsewhere" in answer.problems[0].message
    assert await world.services() == {}


@pytest.mark.asyncio
async def test_a_sidecar_that_cannot_start_leaves_no_workload(world: World) -> None:
    world.launcher.refusal = "no memory"
    answer = await world.start(start_request())
    assert not answer.ok and "no memory" in answer.problems[0].message
    assert await world.workloads() == {}


@pytest.mark.asyncio
async def test_deregistering_waits_for_those_who_hold_the_service(world: World) -> None:
    workload = await world.started()
    key = keys.service("default", "reviews")
    await world.report(ProxyStatus(id="client", role="sidecar", holds={f"registry/{key}": 1}))
    await world.report(ProxyStatus(id="stranger", role="sidecar", holds={}))
    answer = await world.stop(workload, "deregister")
    assert answer.ok and answer.pending == ["client"]
    assert (await world.workloads())[workload].state == "draining"


@pytest.mark.asyncio
async def test_deregistering_returns_once_they_know(world: World) -> None:
    workload = await world.started()
    key = keys.service("default", "reviews")
    await world.report(ProxyStatus(id="client", role="sidecar", holds={f"registry/{key}": 1}))
    stopping = asyncio.create_task(world.stop(workload, "deregister"))
    await world.until_state(workload, "draining")
    await world.report(ProxyStatus(id="client", role="sidecar", holds={f"registry/{key}": 999}))
    assert (await stopping).pending == []


@pytest.mark.asyncio
async def test_a_late_lease_does_not_bring_a_deregistered_workload_back(world: World) -> None:
    workload = await world.started()
    await world.stop(workload, "deregister")
    await world.lease(workload, "ready")
    await world.started("v2")  # heard after that lease
    assert (await world.workloads())[workload].state == "draining"


@pytest.mark.asyncio
async def test_gone_ends_the_sidecar_and_keeps_the_service(world: World) -> None:
    workload = await world.started()
    folder = world.home / "proxies" / workload
    user = Credentials.read(folder / "nats.json")
    assert (user.user, user.url) == (f"proxy-{workload}", world.bus.server.url)
    assert stat.S_IMODE((folder / "nats.json").stat().st_mode) == 0o600
    assert (await world.stop(workload, "gone")).ok
    assert workload not in world.launcher.running
    assert not folder.exists()
    service = (await world.services())["reviews"]
    assert service.workloads == [] and service.accounts == ["reviews"]
    assert await world.stored(Bucket.DESIRED, keys.workload(workload), DesiredWorkload) is None
    assert (await world.stop(workload, "gone")).ok  # a retry


@pytest.mark.asyncio
async def test_nobody_stops_the_workload_of_another_account(world: World) -> None:
    workload = await world.started()
    answer = await world.stop(workload, "gone", account="ratings")
    assert not answer.ok and "default/reviews" in answer.problems[0].message
    assert workload in await world.workloads()


@pytest.mark.asyncio
async def test_a_sidecar_without_its_run_takes_the_workload_along(world: World) -> None:
    workload = await world.started()
    await world.report(ProxyStatus(id=workload, role="sidecar", state="draining"))
    await world.until_state(workload, "draining")
    await world.launcher.kill(workload)  # it ends by itself
    await world.until_state(workload, None)


@pytest.mark.asyncio
async def test_a_new_mesh_has_one_ingress(world: World) -> None:
    [spec] = world.launcher.running.values()
    assert (spec.role, spec.pool, spec.service) == ("gateway", "ingress", "ingress")
    assert spec.spiffe_id == "spiffe://cluster.local/ns/istio-system/sa/istio-ingressgateway"
    assert dict(spec.labels) == {"istio": "ingressgateway", "app": "istio-ingressgateway"}
    assert spec.holder == str(world.home / "holder.sock")


async def serve_gateways(world: World, count: int) -> None:
    """Reports that every gateway serves, once there are `count` of them."""
    async with asyncio.timeout(10):
        while len(world.launcher.running) < count:  # noqa: ASYNC110 - the launcher has no event
            await asyncio.sleep(0.01)
    for gateway in world.launcher.running:
        listening = ["gateway:80 127.0.0.1:8080"]
        await world.report(
            ProxyStatus(id=gateway, role="gateway", state="ready", listening=listening)
        )


@pytest.mark.asyncio
async def test_scaling_up_is_answered_when_all_serve(world: World) -> None:
    scaling = asyncio.create_task(world.scale("ingress", 3))
    await asyncio.wait([scaling], timeout=0.2)
    assert not scaling.done()
    await serve_gateways(world, 3)
    assert (await scaling).ok
    pool = await world.stored(Bucket.DESIRED, keys.pool("ingress"), PoolRecord)
    assert pool is not None and pool.members and set(pool.members) == set(world.launcher.running)


@pytest.mark.asyncio
async def test_scaling_down_drains_before_it_kills(world: World) -> None:
    scaling = asyncio.create_task(world.scale("ingress", 3))
    await serve_gateways(world, 3)
    await scaling
    assert (await world.scale("ingress", 1)).ok
    assert len(world.launcher.running) == 1
    assert sorted(world.launcher.drained) == sorted(world.launcher.killed)
    assert len(world.launcher.killed) == 2
    pool = await world.stored(Bucket.DESIRED, keys.pool("ingress"), PoolRecord)
    assert pool is not None and pool.members == list(world.launcher.running)


@pytest.mark.asyncio
async def test_evaluators_and_collectors_are_scaled_as_gateways_are(world: World) -> None:
    running = world.launcher.control
    await until(lambda: len(running) == 3)  # a new mesh
    for pool, kind in (("evaluators", "evaluator"), ("collectors", "collector")):
        assert (await world.scale(pool, 3)).ok
        assert {f"tulle-{kind}-{n}" for n in (1, 2, 3)} <= running.keys()
        assert (await world.scale(pool, 1)).ok
        assert [name for name in running if kind in name] == [f"tulle-{kind}-1"]
        stored = await world.stored(Bucket.DESIRED, keys.pool(pool), PoolRecord)
        assert stored is not None and stored.members == [f"{kind}-1"]
    assert not (await world.scale("evaluators", 0)).ok


@pytest.mark.asyncio
async def test_what_was_scaled_is_so_after_a_restart_of_ray(world: World) -> None:
    running = world.launcher.control
    await until(lambda: len(running) == 3)
    assert (await world.scale("evaluators", 1)).ok
    assert (await world.scale("collectors", 2)).ok
    await world.stop_supervisor()
    evaluator = running["tulle-evaluator-1"]
    running.clear()
    running["tulle-evaluator-2"] = replace(evaluator, id="2")  # the Ray host starts two
    await world.start_supervisor()
    await until(lambda: len(running) == 3)
    assert running.keys() == {"tulle-evaluator-1", "tulle-collector-1", "tulle-collector-2"}


@pytest.mark.asyncio
async def test_an_unknown_pool_is_refused_with_the_pools_there_are(world: World) -> None:
    answer = await world.scale("egress", 2)
    assert not answer.ok and answer.problems[0].message == (
        "no pool 'egress'; pools: collectors, evaluators, ingress"
    )


@pytest.mark.asyncio
async def test_after_a_restart_proxies_are_adopted_or_started_again(world: World) -> None:
    workload = await world.started()
    before = dict(world.launcher.running)
    user = Credentials.read(Path(before[workload].nats_credentials))
    await world.stop_supervisor()
    world.launcher.running.pop(workload)  # it died with its node
    await world.start_supervisor()
    async with asyncio.timeout(5):
        while set(world.launcher.running) != set(before):  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.01)
    assert (await world.workloads())[workload].state == "ready"
    again = world.launcher.running[workload]
    assert Credentials.read(Path(again.nats_credentials)).seed == user.seed
    assert again.ticket != before[workload].ticket, "a respawn has a new one"


@pytest.mark.asyncio
async def test_what_a_crash_left_half_done_is_undone(world: World) -> None:
    workload = await world.started()
    await world.stop_supervisor()
    desired = await world.bus.open_store(Bucket.DESIRED)
    entry = await desired.get(keys.workload(workload))
    assert entry is not None
    half = DesiredWorkload(
        id="reviews-v9-aaaaa", namespace="default", account="reviews", request=start_request()
    )
    await desired.put_if(keys.workload(half.id), encode(half), 0)
    await world.start_supervisor()
    assert list(await world.workloads()) == [workload]
    assert await world.stored(Bucket.DESIRED, keys.workload(half.id), DesiredWorkload) is None


@pytest.mark.asyncio
async def test_the_heartbeat_says_what_changed(world: World) -> None:
    heard: asyncio.Queue[Heartbeat] = asyncio.Queue()

    async def received(message: Message) -> None:
        heard.put_nowait(decode(Heartbeat, message.data))

    await world.operator.subscribe(world.bus.subjects.heartbeat(), received)
    await world.started()
    key = keys.service("default", "reviews")
    store = await world.bus.existing_store(Role.SUPERVISOR, Bucket.REGISTRY)
    entry = await store.get(key)
    assert entry is not None
    async with asyncio.timeout(5):
        beat = await heard.get()
        while beat.changed.get(key) != entry.revision:
            beat = await heard.get()
    assert (beat.bucket, beat.epoch, beat.leader) == ("registry", "e1", "tulle-supervisor-1")


@pytest.mark.asyncio
async def test_it_serves_again_after_a_restart_of_nats(world: World) -> None:
    workload = await world.started()
    await world.bus.server.restart()
    await world.until_leading()
    assert (await world.workloads())[workload].state == "ready"
    assert workload in world.launcher.running


@pytest.mark.asyncio
async def test_what_can_not_be_read_costs_a_line(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    await world.runner.publish(world.bus.subjects.lease("default", "reviews", "x"), b"{}")
    proxy = await world.bus.connect_proxy("x")
    await proxy.publish(world.bus.subjects.status_proxy("x"), b"{}")
    await until(lambda: caplog.text.count("can't be read") == 2)
    assert not any(line.exc_info for line in caplog.records)


@pytest.mark.asyncio
async def test_who_is_not_known_hears_so_and_comes_back_under_its_id(world: World) -> None:
    workload = await world.started()
    with pytest.raises(NoAnswer):
        await world.asked_by_lease(workload)
    await world.stop(workload, "gone")  # as a store does that forgot it
    assert await world.asked_by_lease(workload) == ["unknown-workload"]

    request = start_request().model_copy(update={"workload": workload})
    assert (await world.start(request)).workload == workload
    await world.lease(workload, "ready")
    await world.until_state(workload, "ready")
    assert list(await world.workloads()) == [workload]
    assert world.launcher.running[workload].role == "sidecar"
    # Its request may be lost and said again, with another id.
    again = request.model_copy(update={"id": new_id()})
    assert (await world.start(again)).workload == workload
    assert list(await world.workloads()) == [workload]


@pytest.mark.asyncio
async def test_nobody_comes_back_as_another(world: World) -> None:
    workload = await world.started()
    stranger = start_request().model_copy(
        update={"workload": workload, "credential_sha256": "1" * 64}
    )
    assert [p.code for p in (await world.start(stranger)).problems] == ["workload-taken"]
    of_other = start_request(service="ratings").model_copy(update={"workload": workload})
    refused = await world.start(of_other, account="ratings")
    assert [p.path for p in refused.problems] == ["workload"]
    assert await world.asked_by_lease(workload, account="ratings") == ["unknown-workload"]
    assert (await world.workloads())[workload].account == "reviews"


@pytest.mark.asyncio
async def test_beneath_it_the_store_gets_lost_and_it_goes_on(world: World) -> None:
    workload = await world.started()
    await world.bus.server.stop()
    shutil.rmtree(world.bus.server.log.parent / "store")
    await world.bus.server.start()
    await world.until_leading()
    assert await world.workloads() == {}
    request = start_request().model_copy(update={"workload": workload})
    assert (await world.start(request)).ok
    pool = await world.stored(Bucket.DESIRED, keys.pool("ingress"), PoolRecord)
    assert pool is not None and pool.replicas == 1
