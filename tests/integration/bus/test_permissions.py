"""Who may say and hear what: every pair of role and subject is tried on a real nats-server.

`SAY` and `HEAR` name each subject that there is, and who may; all others must be refused. The
table is written out here once more, by hand: a right that is granted by accident fails this test.
"""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio

from tests.support.nats import BusUnderTest, serve_bus
from tulle.bus import keys
from tulle.bus.connection import Connection
from tulle.bus.errors import Forbidden
from tulle.bus.permissions import Role
from tulle.bus.subjects import Bucket, Subjects
from tulle.bus.subscription import Message

OPERATOR, EVALUATOR, SUPERVISOR = Role.OPERATOR, Role.EVALUATOR, Role.SUPERVISOR
AUTHORITY, COLLECTOR, RUNNER, PROXY = Role.AUTHORITY, Role.COLLECTOR, Role.RUNNER, Role.PROXY

SAY: dict[str, tuple[Callable[[Subjects], str], set[Role]]] = {
    "apply": (lambda s: s.api_policy("apply"), {OPERATOR}),
    "delete": (lambda s: s.api_policy("delete"), {OPERATOR}),
    "start": (lambda s: s.api_workload("start", "default", "a"), {RUNNER}),
    "stop": (lambda s: s.api_workload("stop", "default", "a"), {RUNNER}),
    "status": (lambda s: s.api_mesh("status"), {OPERATOR}),
    "scale": (lambda s: s.api_mesh("scale"), {OPERATOR}),
    "sign": (lambda s: s.ca_sign("default", "a"), {PROXY}),
    "lease": (lambda s: s.lease("a"), {RUNNER}),
    "telemetry": (lambda s: s.telemetry("0"), {PROXY}),
    "report": (lambda s: s.status_proxy("a"), {PROXY}),
    "drain a proxy": (lambda s: s.proxy_command("a", "drain"), {SUPERVISOR}),
    "ask for all telemetry": (
        lambda s: s.proxy_command("all", "telemetry"),
        {SUPERVISOR, COLLECTOR},
    ),
    "heartbeat": (lambda s: s.heartbeat(), {EVALUATOR, SUPERVISOR}),
    "trust": (lambda s: s.trust(), {AUTHORITY}),
    "forge a policy event": (lambda s: s.event_policies("leader"), set()),
    "forge a config event": (lambda s: s.event_config("hosts"), set()),
    "forge a registry event": (lambda s: s.event_registry("service.a.b"), set()),
    "forge a reply": (lambda s: "_INBOX.operator.0123456789abcdef.1", set()),
    "forge a reply to a peer": (lambda s: "_INBOX.proxy.0123456789abcdef.1", set()),
    "anything": (lambda s: "anything", set()),
    "another mesh": (lambda s: Subjects("other").api_policy("apply"), set()),
}

WRITERS = {
    Bucket.POLICIES: {EVALUATOR},
    Bucket.CONFIG: {EVALUATOR},
    Bucket.REGISTRY: {SUPERVISOR},
    Bucket.DESIRED: {SUPERVISOR},
}
READERS = {**WRITERS, Bucket.REGISTRY: {SUPERVISOR, EVALUATOR}}
KEY_READERS = {
    Bucket.POLICIES: {EVALUATOR},
    Bucket.CONFIG: {EVALUATOR, PROXY},
    Bucket.REGISTRY: {SUPERVISOR, EVALUATOR, AUTHORITY, PROXY},
    Bucket.DESIRED: {SUPERVISOR},
}


def on_bucket(bucket: Bucket, template: str) -> Callable[[Subjects], str]:
    return lambda s: template.format(
        stream=s.stream(bucket), key=s.value(bucket, "a.b"), epoch=s.value(bucket, keys.EPOCH)
    )


for _bucket in Bucket:
    for _template, _who in {
        "{key}": WRITERS[_bucket],
        "$JS.API.STREAM.CREATE.{stream}": WRITERS[_bucket],
        "$JS.API.DIRECT.GET.{stream}.{key}": KEY_READERS[_bucket],
        "$JS.API.DIRECT.GET.{stream}.{epoch}": KEY_READERS[_bucket]
        | ({SUPERVISOR, PROXY} if _bucket is Bucket.POLICIES else set()),
        "$JS.API.DIRECT.GET.{stream}": READERS[_bucket],
        "$JS.API.STREAM.INFO.{stream}": READERS[_bucket],
        "$JS.API.CONSUMER.CREATE.{stream}.name": READERS[_bucket],
        "$JS.API.CONSUMER.DELETE.{stream}.name": READERS[_bucket],
        "$JS.FC.{stream}.name.token": READERS[_bucket],
        "$JS.API.CONSUMER.DURABLE.CREATE.{stream}.name": set[Role](),
        "$JS.API.CONSUMER.MSG.NEXT.{stream}.name": set[Role](),
        "$JS.API.STREAM.MSG.GET.{stream}": set[Role](),
        "$JS.API.STREAM.MSG.DELETE.{stream}": set[Role](),
        "$JS.API.STREAM.UPDATE.{stream}": set[Role](),
        "$JS.API.STREAM.DELETE.{stream}": set[Role](),
        "$JS.API.STREAM.PURGE.{stream}": set[Role](),
        "$JS.API.STREAM.SNAPSHOT.{stream}": set[Role](),
        "$JS.API.STREAM.RESTORE.{stream}": set[Role](),
    }.items():
        SAY[f"{_bucket.value}: {_template}"] = (on_bucket(_bucket, _template), set(_who))
for _subject in (
    "$JS.API.INFO",
    "$JS.API.STREAM.NAMES",
    "$JS.API.STREAM.LIST",
    "$SYS.REQ.SERVER.PING",
):
    SAY[_subject] = (lambda s, subject=_subject: subject, set())  # type: ignore[misc]

HEAR: dict[str, tuple[Callable[[Subjects], str], set[Role]]] = {
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
    "own commands": (lambda s: s.proxy_commands("a"), {PROXY}),
    "policy events": (lambda s: s.event_all(Bucket.POLICIES), {OPERATOR}),
    "config events": (lambda s: s.event_all(Bucket.CONFIG), {OPERATOR, PROXY}),
    "one config": (lambda s: s.event_config("outbound.a"), {OPERATOR, PROXY}),
    "registry events": (lambda s: s.event_all(Bucket.REGISTRY), {OPERATOR, PROXY}),
    "heartbeats": (lambda s: s.heartbeat(), {OPERATOR, PROXY}),
    "trust": (lambda s: s.trust(), {OPERATOR, PROXY}),
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
@pytest.mark.parametrize("role", Role)
async def test_a_role_may_say_what_the_table_says_and_nothing_else(
    bus: BusUnderTest, role: Role
) -> None:
    connection = await bus.connect(role)
    allowed = {
        name
        for name, (subject, _) in SAY.items()
        if await may_say(connection, subject(bus.subjects))
    }
    assert allowed == {name for name, (_, roles) in SAY.items() if role in roles}


@pytest.mark.asyncio
@pytest.mark.parametrize("role", Role)
async def test_a_role_may_hear_what_the_table_says_and_nothing_else(
    bus: BusUnderTest, role: Role
) -> None:
    connection = await bus.connect(role)
    allowed = {
        name
        for name, (subject, _) in HEAR.items()
        if await may_hear(connection, subject(bus.subjects))
    }
    assert allowed == {name for name, (_, roles) in HEAR.items() if role in roles}


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
    proxy = await bus.existing_store(PROXY, Bucket.CONFIG)
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
