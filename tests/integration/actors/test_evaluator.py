"""Evaluators on a real NATS: what is applied is stored, compiled, published, and awaited."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.awaiting import until
from tests.support.control import control_spec
from tests.support.nats import A_GATEWAY, BusUnderTest, serve_bus
from tests.support.policies_api import GATEWAY, PolicyClient, service, virtual_service
from tulle.actors.evaluator.actor import EvaluatorActor
from tulle.actors.leadership import Timing
from tulle.bus import codec, keys
from tulle.bus.connection import Connection
from tulle.bus.errors import BusError
from tulle.bus.messages import Heartbeat, ProxyStatus, ServiceRecord
from tulle.bus.permissions import Role
from tulle.bus.store import Change
from tulle.bus.subjects import Bucket
from tulle.bus.subscription import Message
from tulle.policies import config as configs
from tulle.policies.config import GatewayConfig, HostsConfig, OutboundConfig

FAST = Timing(patience=0.6, refresh=0.2, poll=0.1)
REVIEWS = keys.outbound("reviews.default.svc.cluster.local")
PATIENT = Timing(patience=60.0, refresh=0.2, poll=0.1)
Start = Callable[..., EvaluatorActor]
"""By number, and with `Timing`."""


@pytest_asyncio.fixture
async def bus() -> AsyncIterator[BusUnderTest]:
    async with serve_bus() as bus:
        await bus.open_store(Bucket.REGISTRY)
        yield bus


@pytest_asyncio.fixture
async def start(bus: BusUnderTest, tmp_path: Path) -> AsyncIterator[Start]:
    actors: list[EvaluatorActor] = []

    def start(number: str, timing: Timing = FAST) -> EvaluatorActor:
        spec = replace(control_spec(bus, tmp_path, "evaluator"), id=number)
        actors.append(EvaluatorActor(spec, timing))
        return actors[-1]

    yield start
    for actor in actors:
        await actor.stop()


@pytest_asyncio.fixture
async def leader(start: Start) -> EvaluatorActor:
    actor = start("1")
    await until(lambda: actor.leading)
    return actor


@pytest_asyncio.fixture
async def client(bus: BusUnderTest) -> PolicyClient:
    return PolicyClient(await bus.connect(Role.OPERATOR), bus.subjects)


async def register(bus: BusUnderTest, *records: ServiceRecord) -> None:
    store = await bus.open_store(Bucket.REGISTRY)
    await store.put_all(
        [
            Change(keys.service(record.namespace, record.name), codec.encode(record))
            for record in records
        ]
    )


async def config(bus: BusUnderTest, key: str) -> configs.Config:
    """The config under `key`, once it is there."""
    store = await bus.existing_store(A_GATEWAY, Bucket.CONFIG)
    async with asyncio.timeout(5):
        while (entry := await store.get(key)) is None or not entry.value:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    return configs.decode(codec.unpack(entry.value))


class FakeProxy:
    """Says that it holds `hosts` and the reviews' config, at the revisions it was told to."""

    def __init__(self, connection: Connection, bus: BusUnderTest, name: str) -> None:
        self._connection = connection
        self._subject = bus.subjects.status_proxy(name)
        self.status = ProxyStatus(id=name, role="sidecar", state="ready")

    async def say(self, **fields: object) -> None:
        self.status = self.status.model_copy(update=fields)
        await self._connection.publish(self._subject, codec.encode(self.status))


@pytest_asyncio.fixture
async def heartbeats(bus: BusUnderTest) -> list[Heartbeat]:
    heard: list[Heartbeat] = []

    async def hear(message: Message) -> None:
        heard.append(codec.decode(Heartbeat, message.data))

    await (await bus.connect_proxy()).subscribe(bus.subjects.heartbeat(), hear)
    return heard


async def fake_proxy(bus: BusUnderTest, id: str) -> "FakeProxy":
    return FakeProxy(await bus.connect_proxy(id), bus, id)


@pytest.mark.asyncio
async def test_an_empty_mesh_gets_its_index_its_root_and_its_gateway(
    bus: BusUnderTest, leader: EvaluatorActor
) -> None:
    assert await config(bus, keys.HOSTS) == HostsConfig()
    assert await config(bus, keys.gateway("ingress")) == GatewayConfig("ingress")
    await config(bus, keys.inbound("istio-system"))


@pytest.mark.asyncio
async def test_a_service_of_the_registry_is_compiled(
    bus: BusUnderTest, leader: EvaluatorActor
) -> None:
    await register(bus, service("reviews"))
    outbound = await config(bus, REVIEWS)
    assert isinstance(outbound, OutboundConfig)
    assert [cluster.service for cluster in outbound.clusters] == ["default/reviews"]


@pytest.mark.asyncio
async def test_what_is_applied_is_stored_and_compiled(
    bus: BusUnderTest, leader: EvaluatorActor, client: PolicyClient
) -> None:
    await register(bus, service("reviews"), service("ratings"))
    await config(bus, REVIEWS)
    answer = await client.apply(
        virtual_service("reviews", "destination: {host: ratings}") + GATEWAY.join(["---", ""])
    )
    assert answer.ok, answer.problems
    assert answer.changes == [
        "created Gateway default/bookinfo",
        "created VirtualService default/reviews",
    ]
    outbound = await config(bus, REVIEWS)
    assert isinstance(outbound, OutboundConfig)
    assert [cluster.service for cluster in outbound.clusters] == ["default/ratings"]
    stored = await client.policies()
    assert answer.revision is not None
    assert {policy.created for policy in stored.policies} == {answer.revision.number}


@pytest.mark.asyncio
async def test_one_bad_document_refuses_all(leader: EvaluatorActor, client: PolicyClient) -> None:
    bad = virtual_service("ratings", "destination: {hosts: ratings}")
    answer = await client.apply(virtual_service("reviews", "destination: {host: a}") + bad)
    assert not answer.ok
    assert any(p.code == "unknown-field" and p.line for p in answer.problems)
    assert (await client.policies()).policies == []


@pytest.mark.asyncio
async def test_a_dry_run_says_what_would_change_and_stores_nothing(
    leader: EvaluatorActor, client: PolicyClient
) -> None:
    answer = await client.apply(GATEWAY, dry_run=True)
    assert answer.ok and answer.changes == ["created Gateway default/bookinfo"]
    assert (await client.policies()).policies == []


@pytest.mark.asyncio
async def test_a_retried_request_is_not_applied_twice(
    bus: BusUnderTest, leader: EvaluatorActor, client: PolicyClient
) -> None:
    first = await client.apply(GATEWAY, request="one")
    again = await client.apply(GATEWAY, request="one")
    assert again == first
    other = await client.apply(GATEWAY, request="two")
    assert other.changes == ["unchanged Gateway default/bookinfo"]
    assert other.revision == first.revision


@pytest.mark.asyncio
async def test_an_edit_keeps_the_creation_revision(
    leader: EvaluatorActor, client: PolicyClient
) -> None:
    first = await client.apply(GATEWAY)
    assert first.revision is not None
    await client.apply(GATEWAY.replace("80", "81"))
    [policy] = (await client.policies("Gateway")).policies
    assert policy.created == first.revision.number


@pytest.mark.asyncio
async def test_delete_by_name(leader: EvaluatorActor, client: PolicyClient) -> None:
    await client.apply(GATEWAY)
    assert (await client.delete("gateway", "bookinfo")).changes == [
        "deleted Gateway default/bookinfo"
    ]
    assert (await client.policies()).policies == []
    missing = await client.delete("Gateway", "bookinfo")
    assert [problem.code for problem in missing.problems] == ["no-such-policy"]
    assert (await client.apply(GATEWAY)).changes == ["created Gateway default/bookinfo"]


@pytest.mark.asyncio
async def test_too_many_documents_are_refused_in_a_sentence(
    leader: EvaluatorActor, client: PolicyClient
) -> None:
    text = "".join(virtual_service(f"v{n}", "destination: {host: a}") for n in range(999))
    answer = await client.apply(text)
    assert [p.code for p in answer.problems] == ["too-many-documents"]
    assert "999" in answer.problems[0].message and "998" in answer.problems[0].message


@pytest.mark.asyncio
async def test_998_documents_are_one_commit(leader: EvaluatorActor, client: PolicyClient) -> None:
    text = "".join(virtual_service(f"v{n}", "destination: {host: a}") for n in range(998))
    answer = await client.apply(text)
    assert answer.ok, answer.problems
    stored = (await client.policies()).policies
    assert len(stored) == 998 and len({policy.created for policy in stored}) == 1


@pytest.mark.asyncio
async def test_the_heartbeat_names_what_changed(
    bus: BusUnderTest,
    heartbeats: list[Heartbeat],
    leader: EvaluatorActor,
    client: PolicyClient,
) -> None:
    answer = await client.apply(GATEWAY)
    assert answer.revision is not None
    number = answer.revision.number
    await until(lambda: bool(heartbeats) and heartbeats[-1].revision == number)
    store = await bus.existing_store(A_GATEWAY, Bucket.CONFIG)
    key = keys.gateway("ingress")
    entry = await store.get(key)
    assert entry is not None and heartbeats[-1].changed[key] == entry.revision
    assert heartbeats[-1].epoch == answer.revision.epoch


@pytest.mark.asyncio
async def test_a_wait_lasts_until_all_who_hold_it_have_it(
    bus: BusUnderTest, leader: EvaluatorActor, client: PolicyClient
) -> None:
    await register(bus, service("reviews"))
    await config(bus, REVIEWS)
    epoch = (await client.status()).revision
    assert epoch is not None
    connection = await bus.connect_proxy()
    holder = FakeProxy(connection, bus, "a")
    await holder.say(epoch=epoch.epoch, holds={f"config/{REVIEWS}": 1})
    await (await fake_proxy(bus, "b")).say(epoch=epoch.epoch, holds={"config/other": 1})
    await connection.flush()
    apply = asyncio.create_task(
        client.apply_all(virtual_service("reviews", "destination: {host: a}"), wait=5)
    )
    store = await bus.existing_store(A_GATEWAY, Bucket.CONFIG)
    before = await store.get(REVIEWS)
    async with asyncio.timeout(5):
        while (entry := await store.get(REVIEWS)) == before:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert not apply.done() and entry is not None
    await holder.say(holds={f"config/{REVIEWS}": entry.revision}, problems=["port 81: in use"])
    answers = await apply
    assert [answer.pending for answer in answers] == [["a"], []]
    assert answers[-1].ok and answers[-1].done
    assert "a: port 81: in use" in [problem.message for problem in answers[-1].problems]


@pytest.mark.asyncio
async def test_a_wait_that_ends_too_early_says_who_is_late(
    bus: BusUnderTest, leader: EvaluatorActor, client: PolicyClient
) -> None:
    gateway = keys.gateway("ingress")
    connection = await bus.connect_proxy()
    await FakeProxy(connection, bus, "a").say(holds={f"config/{gateway}": 1})
    await connection.flush()
    answers = await client.apply_all(GATEWAY, wait=0.3)
    assert answers[-1].done and not answers[-1].ok and answers[-1].pending == ["a"]
    assert answers[-1].problems[-1].code == "not-applied-by-all"
    assert answers[-1].revision is not None, "it is committed all the same"
    assert (await client.apply_all(GATEWAY, wait=5))[-1].ok, "nothing changed, nobody to wait for"


@pytest.mark.asyncio
async def test_the_status_says_who_is_current(
    bus: BusUnderTest, leader: EvaluatorActor, client: PolicyClient
) -> None:
    answer = await client.apply(GATEWAY)
    assert answer.revision is not None
    key, epoch = f"config/{keys.gateway('ingress')}", answer.revision.epoch
    store = await bus.existing_store(A_GATEWAY, Bucket.CONFIG)
    entry = await store.get(keys.gateway("ingress"))
    assert entry is not None
    newest = entry.revision
    connection = await bus.connect_proxy()
    await FakeProxy(connection, bus, "a").say(epoch=epoch, holds={key: newest})
    await (await fake_proxy(bus, "b")).say(epoch=epoch, holds={key: newest - 1})
    await (await fake_proxy(bus, "c")).say()
    await connection.flush()
    async with asyncio.timeout(5):
        while len((status := await client.status()).proxies) < 3:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert [(p.id, p.current) for p in status.proxies] == [("a", True), ("b", False), ("c", None)]
    assert status.leader == "tulle-evaluator-1"


@pytest.mark.asyncio
async def test_another_takes_over_and_knows_everything(
    bus: BusUnderTest, start: Start, leader: EvaluatorActor, client: PolicyClient
) -> None:
    follower = start("2")
    await follower.health()
    assert not follower.leading
    first = await client.apply(GATEWAY, request="one")
    await leader.stop()
    # What the old leader left unfinished: a config that is not what the policies say.
    await register(bus, service("reviews"))
    await until(lambda: follower.leading)
    assert await client.apply(GATEWAY, request="one") == first
    assert isinstance(await config(bus, REVIEWS), OutboundConfig)
    assert (await client.status()).leader == "tulle-evaluator-2"
    changed = await client.apply(GATEWAY.replace("80", "81"))
    assert changed.ok and changed.revision and first.revision
    assert changed.revision.number > first.revision.number


@pytest.mark.asyncio
async def test_a_leader_that_retires_leaves_no_gap(
    bus: BusUnderTest, start: Start, leader: EvaluatorActor, client: PolicyClient
) -> None:
    follower = start("2", PATIENT)
    await follower.health()
    first = await client.apply(GATEWAY, request="one")
    await leader.retire()
    await until(lambda: follower.leading)
    assert await client.apply(GATEWAY, request="one") == first
    assert (await client.apply(GATEWAY.replace("80", "81"))).ok


@pytest.mark.asyncio
async def test_it_goes_on_after_a_restart_of_nats(
    bus: BusUnderTest, leader: EvaluatorActor, client: PolicyClient
) -> None:
    await client.apply(GATEWAY)
    await bus.server.restart()
    client = PolicyClient(await bus.connect(Role.OPERATOR), bus.subjects)
    async with asyncio.timeout(10):
        while not await applied(client, GATEWAY.replace("80", "81")):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    [policy] = (await client.policies()).policies
    assert "81" in str(policy.data)


async def applied(client: PolicyClient, text: str) -> bool:
    """Whether an apply, asked again with one id as clients do, was carried out."""
    try:
        return (await client.apply(text, request="retried")).ok
    except BusError:
        return False


@pytest.mark.asyncio
async def test_a_wait_just_after_a_restart_of_nats_is_for_those_before_it_too(
    bus: BusUnderTest, leader: EvaluatorActor, client: PolicyClient
) -> None:
    connection = await bus.connect_proxy()
    await FakeProxy(connection, bus, "a").say(holds={f"config/{keys.gateway('ingress')}": 1})
    await connection.flush()
    await connection.close()  # it is not back yet
    async with asyncio.timeout(5):
        while not (await client.status()).proxies:  # noqa: ASYNC110 - a question to NATS
            await asyncio.sleep(0.01)
    await bus.server.restart()
    client = PolicyClient(await bus.connect(Role.OPERATOR), bus.subjects)
    async with asyncio.timeout(10):
        while not await applied(client, virtual_service("reviews", "destination: {host: a}")):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    answers = await client.apply_all(GATEWAY, wait=0.3)
    assert answers[-1].pending == ["a"]


@pytest.mark.asyncio
async def test_an_older_copy_of_the_store_is_another_epoch(
    bus: BusUnderTest, leader: EvaluatorActor, client: PolicyClient, tmp_path: Path
) -> None:
    first = await client.apply(GATEWAY)
    store, copy = bus.server.log.parent / "store", tmp_path / "copy"
    await bus.server.stop()
    shutil.copytree(store, copy)
    await bus.server.start()
    client = PolicyClient(await bus.connect(Role.OPERATOR), bus.subjects)
    async with asyncio.timeout(10):
        while not await applied(client, GATEWAY.replace("80", "81")):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    await bus.server.stop()
    shutil.rmtree(store)
    shutil.copytree(copy, store)
    await bus.server.start()

    client = PolicyClient(await bus.connect(Role.OPERATOR), bus.subjects)
    async with asyncio.timeout(10):
        while not await applied(client, GATEWAY.replace("bookinfo", "other")):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    answer = await client.policies()
    assert "81" not in str([policy.data for policy in answer.policies])
    assert first.revision is not None and answer.revision is not None
    assert answer.revision.epoch != first.revision.epoch
