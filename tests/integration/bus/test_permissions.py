"""Who may say and hear what: every pair of user and subject is tried on a real nats-server.

`SAY` and `HEAR` name each subject that there is, and who may; all others must be refused. The
table is written out here once more, by hand: a right that is granted by accident fails this test.
"""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio

from tests.support.nats import A_GATEWAY, A_PROXY, BusUnderTest, serve_bus
from tulle.bus import keys
from tulle.bus.connection import Connection
from tulle.bus.errors import Forbidden
from tulle.bus.permissions import ProxyUser, Role, RunnerUser
from tulle.bus.subjects import Bucket, Subjects
from tulle.bus.subscription import Message

OPERATOR, EVALUATOR, SUPERVISOR = Role.OPERATOR, Role.EVALUATOR, Role.SUPERVISOR
AUTHORITY, COLLECTOR, RUNNER = Role.AUTHORITY, Role.COLLECTOR, Role.RUNNER
PROXY, GATEWAY = A_PROXY, A_GATEWAY
ONE = RunnerUser("one", "default", "a")
User = Role | ProxyUser | RunnerUser
USERS: tuple[User, ...] = (*Role, PROXY, GATEWAY, ONE)

SAY: dict[str, tuple[Callable[[Subjects], str], set[User]]] = {
    "apply": (lambda s: s.api_policy("apply"), {OPERATOR}),
    "delete": (lambda s: s.api_policy("delete"), {OPERATOR}),
    "start": (lambda s: s.api_workload("start", "default", "a"), {RUNNER, ONE}),
    "stop": (lambda s: s.api_workload("stop", "default", "a"), {RUNNER, ONE}),
    "start of another account": (lambda s: s.api_workload("start", "default", "b"), {RUNNER}),
    "start in another namespace": (lambda s: s.api_workload("start", "other", "a"), {RUNNER}),
    "another verb": (lambda s: s.api_workload("verb", "default", "a"), {RUNNER}),
    "status": (lambda s: s.api_mesh("status"), {OPERATOR}),
    "add a credential": (lambda s: s.api_credential("add"), {OPERATOR}),
    "add a runner": (lambda s: s.api_runner("add"), {OPERATOR}),
    "scale": (lambda s: s.api_mesh("scale"), {OPERATOR}),
    "sign": (lambda s: s.ca_sign("default", "a"), {PROXY}),
    "sign for another account": (lambda s: s.ca_sign("default", "b"), set()),
    "sign for another namespace": (lambda s: s.ca_sign("other", "a"), set()),
    "sign for a gateway": (lambda s: s.ca_sign("istio-system", "istio-ingressgateway"), {GATEWAY}),
    "lease": (lambda s: s.lease("default", "a", "w"), {RUNNER, ONE}),
    "lease of another account": (lambda s: s.lease("default", "b", "w"), {RUNNER}),
    "telemetry": (lambda s: s.telemetry("0", "a"), {PROXY}),
    "telemetry to any shard": (lambda s: s.telemetry("7", "a"), {PROXY}),
    "telemetry of another": (lambda s: s.telemetry("0", "b"), set()),
    "report": (lambda s: s.status_proxy("a"), {PROXY}),
    "report of a gateway": (lambda s: s.status_proxy("ingress-a"), {GATEWAY}),
    "report of another": (lambda s: s.status_proxy("b"), set()),
    "drain a proxy": (lambda s: s.proxy_command("a", "drain"), {SUPERVISOR}),
    "ask for all telemetry": (
        lambda s: s.proxy_command("all", "telemetry"),
        {SUPERVISOR, COLLECTOR},
    ),
    "share telemetry": (lambda s: s.collect("give", "0"), {COLLECTOR}),
    "heartbeat": (lambda s: s.heartbeat(), {EVALUATOR, SUPERVISOR}),
    "trust": (lambda s: s.trust(), {AUTHORITY}),
    "forge a policy event": (lambda s: s.event_policies("leader"), set()),
    "forge a config event": (lambda s: s.event_config("hosts"), set()),
    "forge a registry event": (lambda s: s.event_registry("service.a.b"), set()),
    "forge a reply": (lambda s: "_INBOX.operator.0123456789abcdef.1", set()),
    "forge a reply to a peer": (lambda s: "_INBOX.proxy-b.0123456789abcdef.1", set()),
    "revoke users": (lambda s: "$SYS.REQ.ACCOUNT.A.CLAIMS.UPDATE", set()),
    "anything": (lambda s: "anything", set()),
    "another mesh": (lambda s: Subjects("other").api_policy("apply"), set()),
}

WRITERS: dict[Bucket, set[User]] = {
    Bucket.POLICIES: {EVALUATOR},
    Bucket.CONFIG: {EVALUATOR},
    Bucket.REGISTRY: {SUPERVISOR},
    Bucket.DESIRED: {SUPERVISOR},
    Bucket.CREDENTIALS: {SUPERVISOR},
}
READERS = WRITERS | {Bucket.REGISTRY: {SUPERVISOR, EVALUATOR}}
# Besides `READERS`, who may read a single key.
KEY_READERS: list[tuple[Bucket, str, set[User]]] = [
    (Bucket.POLICIES, keys.EPOCH, {SUPERVISOR, PROXY, GATEWAY}),
    (Bucket.POLICIES, keys.LEADER, set()),
    (Bucket.POLICIES, keys.document("VirtualService", "default", "a"), set()),
    (Bucket.CONFIG, keys.HOSTS, {PROXY, GATEWAY}),
    (Bucket.CONFIG, keys.outbound("a.b"), {PROXY, GATEWAY}),
    (Bucket.CONFIG, keys.inbound("default"), {PROXY}),
    (Bucket.CONFIG, keys.inbound("istio-system"), {PROXY, GATEWAY}),
    (Bucket.CONFIG, keys.inbound("other"), set()),
    (Bucket.CONFIG, keys.gateway("ingress"), {GATEWAY}),
    (Bucket.CONFIG, keys.gateway("other"), set()),
    (Bucket.REGISTRY, keys.service("default", "a"), {PROXY, GATEWAY}),
    (Bucket.REGISTRY, keys.LEADER, set()),
    (Bucket.DESIRED, keys.workload("a"), {AUTHORITY}),
    (Bucket.DESIRED, keys.pool("ingress"), {AUTHORITY}),
    (Bucket.DESIRED, keys.pool("collectors"), {AUTHORITY, COLLECTOR}),
    (Bucket.DESIRED, keys.runner("one"), set()),
    (Bucket.CREDENTIALS, keys.credential("a"), {GATEWAY}),
]


def on_bucket(bucket: Bucket, template: str) -> Callable[[Subjects], str]:
    return lambda s: template.format(stream=s.stream(bucket), key=s.value(bucket, "a.b"))


def direct_get(bucket: Bucket, key: str) -> Callable[[Subjects], str]:
    return lambda s: f"$JS.API.DIRECT.GET.{s.stream(bucket)}.{s.value(bucket, key)}"


for _bucket, _key, _who in KEY_READERS:
    SAY[f"read {_bucket.value}/{_key}"] = (direct_get(_bucket, _key), READERS[_bucket] | _who)
for _bucket in Bucket:
    for _template, _who in {
        "{key}": WRITERS[_bucket],
        "$JS.API.STREAM.CREATE.{stream}": WRITERS[_bucket],
        "$JS.API.DIRECT.GET.{stream}.{key}": READERS[_bucket],
        "$JS.API.DIRECT.GET.{stream}": READERS[_bucket],
        "$JS.API.STREAM.INFO.{stream}": READERS[_bucket],
        "$JS.API.CONSUMER.CREATE.{stream}.name": READERS[_bucket],
        "$JS.API.CONSUMER.DELETE.{stream}.name": READERS[_bucket],
        "$JS.FC.{stream}.name.token": READERS[_bucket],
        "$JS.API.CONSUMER.DURABLE.CREATE.{stream}.name": set[User](),
        "$JS.API.CONSUMER.MSG.NEXT.{stream}.name": set[User](),
        "$JS.API.STREAM.MSG.GET.{stream}": set[User](),
        "$JS.API.STREAM.MSG.DELETE.{stream}": set[User](),
        "$JS.API.STREAM.UPDATE.{stream}": set[User](),
        "$JS.API.STREAM.DELETE.{stream}": set[User](),
        "$JS.API.STREAM.PURGE.{stream}": set[User](),
        "$JS.API.STREAM.SNAPSHOT.{stream}": set[User](),
        "$JS.API.STREAM.RESTORE.{stream}": set[User](),
    }.items():
        SAY[f"{_bucket.value}: {_template}"] = (on_bucket(_bucket, _template), set(_who))
for _subject in (
    "$JS.API.INFO",
    "$JS.API.STREAM.NAMES",
    "$JS.API.STREAM.LIST",
    "$SYS.REQ.SERVER.PING",
):
    SAY[_subject] = (lambda s, subject=_subject: subject, set())  # type: ignore[misc]

HEAR: dict[str, tuple[Callable[[Subjects], str], set[User]]] = {
    "policies asked for": (lambda s: s.api_policy_all, {EVALUATOR}),
    "one verb": (lambda s: s.api_policy("apply"), {EVALUATOR}),
    "workloads asked for": (lambda s: s.api_workload_all, {SUPERVISOR}),
    "status asked for": (lambda s: s.api_mesh("status"), {EVALUATOR}),
    "services asked for": (lambda s: s.api_mesh("services"), {SUPERVISOR}),
    "scaling asked for": (lambda s: s.api_mesh("scale"), {SUPERVISOR}),
    "all of the mesh's API": (lambda s: s.api_mesh_all, set()),
    "certificates asked for": (lambda s: s.ca_sign_all, {AUTHORITY}),
    "leases": (lambda s: s.lease_all, {SUPERVISOR}),
    "telemetry": (lambda s: s.telemetry_all, {COLLECTOR}),
    "reports": (lambda s: s.status_all, {EVALUATOR, SUPERVISOR}),
    "credentials to add": (lambda s: s.api_credential_all, {SUPERVISOR}),
    "runners to add": (lambda s: s.api_runner_all, {SUPERVISOR}),
    "own commands": (lambda s: s.proxy_commands("a"), {PROXY}),
    "commands to a gateway": (lambda s: s.proxy_commands("ingress-a"), {GATEWAY}),
    "commands to another": (lambda s: s.proxy_commands("b"), set()),
    "commands to all proxies": (lambda s: s.proxy_commands("all"), {PROXY, GATEWAY}),
    "policy events": (lambda s: s.event_all(Bucket.POLICIES), {OPERATOR}),
    "config events": (lambda s: s.event_all(Bucket.CONFIG), {OPERATOR}),
    "one config": (lambda s: s.event_config("outbound.a"), {OPERATOR, PROXY, GATEWAY}),
    "the index": (lambda s: s.event_config("hosts"), {OPERATOR, PROXY, GATEWAY}),
    "its inbound": (lambda s: s.event_config("inbound.default"), {OPERATOR, PROXY}),
    "the root's": (lambda s: s.event_config("inbound.istio-system"), {OPERATOR, PROXY, GATEWAY}),
    "another inbound": (lambda s: s.event_config("inbound.other"), {OPERATOR}),
    "its pool": (lambda s: s.event_config("gateway.ingress"), {OPERATOR, GATEWAY}),
    "another pool": (lambda s: s.event_config("gateway.other"), {OPERATOR}),
    "registry events": (lambda s: s.event_all(Bucket.REGISTRY), {OPERATOR}),
    "one service": (lambda s: s.event_registry("service.a.b"), {OPERATOR, PROXY, GATEWAY}),
    "desired": (lambda s: s.event_all(Bucket.DESIRED), set()),
    "credential events": (lambda s: s.event_all(Bucket.CREDENTIALS), set()),
    "one credential": (lambda s: s.event(Bucket.CREDENTIALS, keys.credential("a")), {GATEWAY}),
    "heartbeats": (lambda s: s.heartbeat(), {OPERATOR, PROXY, GATEWAY}),
    "trust": (lambda s: s.trust(), {OPERATOR, PROXY, GATEWAY}),
    "replies to another proxy": (lambda s: "_INBOX.proxy-b.>", set()),
    "replies to a proxy": (lambda s: "_INBOX.proxy-a.>", {PROXY}),
    "all": (lambda s: ">", set()),
    "the mesh": (lambda s: f"tulle.{s.mesh}.>", set()),
    "writes": (lambda s: "$KV.>", set()),
    "JetStream's API": (lambda s: "$JS.API.>", set()),
    "JetStream's events": (lambda s: "$JS.EVENT.>", set()),
    "all replies": (lambda s: "_INBOX.>", set()),
    **{
        f"replies to {role.value}": (
            lambda s, role=role: f"_INBOX.{role.value}.>",  # type: ignore[misc]
            {role},
        )
        for role in Role
    },
}


@pytest_asyncio.fixture
async def bus() -> AsyncIterator[BusUnderTest]:
    async with serve_bus() as bus:
        yield bus


async def ignore(_: Message) -> None:
    """Hears and does nothing."""


async def may_say(connection: Connection, subject: str) -> bool:
    await connection.publish(subject)
    try:
        await connection.flush()
    except Forbidden as error:
        assert error.subject == subject.lower()
        return False
    return True


async def may_hear(connection: Connection, subject: str) -> bool:
    try:
        await connection.unsubscribe(await connection.subscribe(subject, ignore))
    except Forbidden:
        return False
    return True


@pytest.mark.asyncio
@pytest.mark.parametrize("user", USERS, ids=str)
async def test_a_user_may_say_what_the_table_says_and_nothing_else(
    bus: BusUnderTest, user: User
) -> None:
    connection = await bus.connect_as(user)
    allowed = {
        name
        for name, (subject, _) in SAY.items()
        if await may_say(connection, subject(bus.subjects))
    }
    assert allowed == {name for name, (_, users) in SAY.items() if user in users}


@pytest.mark.asyncio
@pytest.mark.parametrize("user", USERS, ids=str)
async def test_a_user_may_hear_what_the_table_says_and_nothing_else(
    bus: BusUnderTest, user: User
) -> None:
    connection = await bus.connect_as(user)
    allowed = {
        name
        for name, (subject, _) in HEAR.items()
        if await may_hear(connection, subject(bus.subjects))
    }
    assert allowed == {name for name, (_, users) in HEAR.items() if user in users}


@pytest.mark.asyncio
async def test_who_was_asked_may_answer_and_nobody_else(bus: BusUnderTest) -> None:
    asked: asyncio.Queue[str] = asyncio.Queue()
    evaluator, supervisor = await bus.connect(EVALUATOR), await bus.connect(SUPERVISOR)

    async def remember(message: Message) -> None:
        await asked.put(message.reply)

    await evaluator.subscribe(bus.subjects.api_policy_all, remember)
    operator = await bus.connect(OPERATOR)
    request = asyncio.create_task(operator.request(bus.subjects.api_policy("get"), timeout=10))
    reply = await asyncio.wait_for(asked.get(), 5)
    assert not await may_say(supervisor, reply)
    assert not await may_say(evaluator, reply + "x")
    assert await may_say(evaluator, reply)
    assert (await request).data == b""


@pytest.mark.asyncio
async def test_a_waiting_apply_is_answered_many_times(bus: BusUnderTest) -> None:
    evaluator = await bus.connect(EVALUATOR)

    async def answer(message: Message) -> None:
        for number in range(700):
            await evaluator.publish(message.reply, str(number).encode())

    await evaluator.subscribe(bus.subjects.api_policy("apply"), answer)
    operator = await bus.connect(OPERATOR)
    answers = operator.request_many(
        bus.subjects.api_policy("apply"), done=lambda answer: answer.data == b"699"
    )
    assert len([answer async for answer in answers]) == 700


@pytest.mark.asyncio
async def test_a_proxy_reads_single_keys(bus: BusUnderTest) -> None:
    writer = await bus.open_store(Bucket.CONFIG)
    await writer.put_if(keys.outbound("a.b"), b"x", 0)
    proxy = await bus.existing_store(A_PROXY, Bucket.CONFIG)
    entry = await proxy.get(keys.outbound("a.b"))
    assert entry is not None
    assert entry.value == b"x"
    with pytest.raises(Forbidden):
        await proxy.get_all()
    with pytest.raises(Forbidden):
        await proxy.put_if(keys.outbound("a.b"), b"y", 1)
    async with proxy.watch() as changes:
        with pytest.raises(Forbidden):
            await asyncio.wait_for(anext(changes), 5)


@pytest.mark.asyncio
@pytest.mark.parametrize("bucket", Bucket)
async def test_the_writer_of_a_bucket_can_do_all_that_a_store_does(
    bus: BusUnderTest, bucket: Bucket
) -> None:
    store = await bus.open_store(bucket)
    await store.put_if("a", b"x", 0)
    assert len(await store.get_all()) == 1
    async with store.watch() as changes:
        await asyncio.wait_for(anext(changes), 5)
