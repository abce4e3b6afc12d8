"""The connection on a real nats-server: what it raises, and what it survives.

Each of nats-py's edges that tulle.bus.connection names has its test here.
"""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio

from tests.support.fake_nats import answer_pings, say_nothing, serve_fake_nats, until_ping
from tests.support.nats import A_PROXY, BusUnderTest, frozen, serve_bus
from tulle.bus import jetstream, link, nkeys
from tulle.bus.connection import Connection, connect
from tulle.bus.credentials import Credentials
from tulle.bus.errors import (
    Conflict,
    ConnectFailed,
    Forbidden,
    NoAnswer,
    NobodyListens,
    NotConnected,
    ServerChanged,
    ServerTooOld,
    TooLarge,
)
from tulle.bus.permissions import Role
from tulle.bus.store import Entry
from tulle.bus.subjects import Bucket
from tulle.bus.subscription import Message

_USER = nkeys.generate(nkeys.Kind.USER)
ANYBODY = Credentials("", "proxy", "a.jwt", _USER.seed)


@pytest_asyncio.fixture
async def bus() -> AsyncIterator[BusUnderTest]:
    async with serve_bus() as bus:
        yield bus


async def collect(connection: Connection, subject: str) -> asyncio.Queue[Message]:
    """A queue of all that `subject` brings."""
    received: asyncio.Queue[Message] = asyncio.Queue()
    await connection.subscribe(subject, received.put)
    return received


async def until(event: asyncio.Event) -> None:
    await asyncio.wait_for(event.wait(), 15)


# -- requests and messages ------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_message_arrives_with_its_headers(bus: BusUnderTest) -> None:
    received = await collect(await bus.connect(Role.COLLECTOR), bus.subjects.telemetry_all)
    proxy = await bus.connect_proxy()
    await proxy.publish(bus.subjects.telemetry("a.b", "a"), b"\x00data", headers={"X": "y"})
    message = await received.get()
    assert message == Message(bus.subjects.telemetry("a.b", "a"), b"\x00data", "", {"X": "y"})


@pytest.mark.asyncio
async def test_an_answer_comes_to_the_one_who_asked(bus: BusUnderTest) -> None:
    authority = await bus.connect(Role.AUTHORITY)

    async def sign(message: Message) -> None:
        await authority.publish(message.reply, b"signed " + message.data)

    await authority.subscribe(bus.subjects.ca_sign_all, sign)
    proxies = [await bus.connect_proxy() for _ in range(2)]
    asked = [
        proxy.request(bus.subjects.ca_sign("default", "a"), str(number).encode())
        for number, proxy in enumerate(proxies * 5)
    ]
    answers = await asyncio.gather(*asked)
    assert [answer.data for answer in answers] == [b"signed %d" % number for number in range(10)]


@pytest.mark.asyncio
async def test_a_request_gets_a_stream_of_answers(bus: BusUnderTest) -> None:
    evaluator = await bus.connect(Role.EVALUATOR)

    async def apply(message: Message) -> None:
        for left in (2, 1, 0):
            await evaluator.publish(message.reply, str(left).encode())

    await evaluator.subscribe(bus.subjects.api_policy("apply"), apply)
    operator = await bus.connect(Role.OPERATOR)
    answers = operator.request_many(
        bus.subjects.api_policy("apply"), done=lambda answer: answer.data == b"0"
    )
    assert [answer.data async for answer in answers] == [b"2", b"1", b"0"]


@pytest.mark.asyncio
async def test_silence_is_no_answer(bus: BusUnderTest) -> None:
    evaluator = await bus.connect(Role.EVALUATOR)
    await collect(evaluator, bus.subjects.api_policy_all)
    operator = await bus.connect(Role.OPERATOR)
    with pytest.raises(NoAnswer, match=r"in 0\.1 s.*may still be carried out") as silent:
        await operator.request(bus.subjects.api_policy("get"), timeout=0.1)
    assert (silent.value.subject, silent.value.seconds) == (bus.subjects.api_policy("get"), 0.1)


@pytest.mark.asyncio
async def test_a_request_that_nobody_serves_fails_at_once(bus: BusUnderTest) -> None:
    operator = await bus.connect(Role.OPERATOR)
    with pytest.raises(NobodyListens) as nobody:
        await operator.request(bus.subjects.api_policy("get"), timeout=30)
    assert nobody.value.subject == bus.subjects.api_policy("get")


@pytest.mark.asyncio
async def test_what_is_forbidden_says_so_at_once(bus: BusUnderTest) -> None:
    runner = await bus.connect(Role.RUNNER)
    apply = bus.subjects.api_policy("Apply")
    with pytest.raises(Forbidden, match="'runner' may not publish to") as request:
        await runner.request(apply, timeout=30)
    assert request.value.subject == apply
    with pytest.raises(Forbidden, match="'runner' may not subscribe to") as subscription:
        await runner.subscribe(apply, asyncio.Queue[Message]().put)
    assert subscription.value.subject == apply
    await runner.publish(apply)
    with pytest.raises(Forbidden, match="'runner' may not publish to"):
        await runner.flush()
    await runner.flush()  # said once
    assert runner.connected


@pytest.mark.asyncio
async def test_a_message_above_the_servers_limit_is_refused(bus: BusUnderTest) -> None:
    proxy = await bus.connect_proxy()
    with pytest.raises(TooLarge) as refused:
        await proxy.publish(bus.subjects.telemetry("0", "a"), bytes(8 * 1024 * 1024 + 1))
    assert refused.value.limit == 8 * 1024 * 1024
    assert proxy.connected


@pytest.mark.asyncio
async def test_a_failing_handler_ends_nothing(
    bus: BusUnderTest, caplog: pytest.LogCaptureFixture
) -> None:
    received: asyncio.Queue[bytes] = asyncio.Queue()

    async def handle(message: Message) -> None:
        if message.data == b"bad":
            raise ValueError("no good")
        await received.put(message.data)

    collector = await bus.connect(Role.COLLECTOR)
    await collector.subscribe(bus.subjects.telemetry_all, handle)
    proxy = await bus.connect_proxy()
    for data in (b"bad", b"good"):
        await proxy.publish(bus.subjects.telemetry("0", "a"), data)
    assert await asyncio.wait_for(received.get(), 5) == b"good"
    assert "no good" in caplog.text


@pytest.mark.asyncio
async def test_a_queue_group_gets_each_message_once(bus: BusUnderTest) -> None:
    received: asyncio.Queue[Message] = asyncio.Queue()
    for _ in range(2):
        collector = await bus.connect(Role.COLLECTOR)
        await collector.subscribe(bus.subjects.telemetry_all, received.put, queue="collectors")
    proxy = await bus.connect_proxy()
    for _ in range(20):
        await proxy.publish(bus.subjects.telemetry("0", "a"))
    for _ in range(20):
        await asyncio.wait_for(received.get(), 5)
    assert received.empty()


@pytest.mark.asyncio
async def test_unsubscribing_ends_the_messages(bus: BusUnderTest) -> None:
    collector, proxy = await bus.connect(Role.COLLECTOR), await bus.connect_proxy()
    received: asyncio.Queue[Message] = asyncio.Queue()
    first = await collector.subscribe(bus.subjects.telemetry_all, received.put)
    await collector.unsubscribe(first)
    second = await collect(collector, bus.subjects.telemetry_all)
    await proxy.publish(bus.subjects.telemetry("0", "a"))
    await asyncio.wait_for(second.get(), 5)
    assert received.empty()


@pytest.mark.asyncio
async def test_draining_handles_what_has_arrived(bus: BusUnderTest) -> None:
    handled: list[bytes] = []

    async def handle(message: Message) -> None:
        await asyncio.sleep(0.01)
        handled.append(message.data)

    collector, proxy = await bus.connect(Role.COLLECTOR), await bus.connect_proxy()
    await collector.subscribe(bus.subjects.telemetry_all, handle)
    for number in range(10):
        await proxy.publish(bus.subjects.telemetry("0", "a"), str(number).encode())
    await proxy.flush()
    await collector.drain()
    assert handled == [str(number).encode() for number in range(10)]
    assert not collector.connected
    with pytest.raises(NotConnected):
        await collector.publish("x")


# -- the first connect ----------------------------------------------------------------------


@pytest.mark.asyncio
async def test_the_first_connect_is_bounded(bus: BusUnderTest) -> None:
    await bus.server.stop()
    began = time.monotonic()
    with pytest.raises(ConnectFailed, match=rf"{bus.server.url}.*nothing listens there.*0\.3 s"):
        await connect(bus.server.url, bus.user(A_PROXY), name="p", first_timeout=0.3)
    assert time.monotonic() - began < 3


@pytest.mark.asyncio
async def test_the_first_connect_waits_for_a_server_that_starts(bus: BusUnderTest) -> None:
    await bus.server.stop()
    connecting = asyncio.create_task(bus.connect_proxy())
    await asyncio.sleep(0)
    await bus.server.start()
    assert (await connecting).connected


@pytest.mark.asyncio
async def test_who_has_not_the_key_of_his_jwt_is_refused_at_once(bus: BusUnderTest) -> None:
    wrong = replace(bus.user(A_PROXY), seed=nkeys.generate(nkeys.Kind.USER).seed)
    began = time.monotonic()
    with pytest.raises(ConnectFailed, match="user 'proxy-a' was refused"):
        await connect(bus.server.url, wrong, name="p", first_timeout=30)
    assert time.monotonic() - began < 5


@pytest.mark.asyncio
async def test_an_old_server_is_refused() -> None:
    async with serve_fake_nats(answer_pings, version="2.11.9") as fake:
        with pytest.raises(ServerTooOld, match=r"2\.11 is too old, 2\.12"):
            await connect(fake.url, ANYBODY, name="p")


@pytest.mark.asyncio
async def test_a_server_that_says_nothing_is_given_up() -> None:
    async with serve_fake_nats(say_nothing, greets=False) as fake:
        with pytest.raises(ConnectFailed, match="within 2 s"):
            await connect(fake.url, ANYBODY, name="p", first_timeout=0.1)


# -- breaks ---------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_without_a_link_nothing_is_sent_and_it_says_so(bus: BusUnderTest) -> None:
    collector, proxy = await bus.connect(Role.COLLECTOR), await bus.connect_proxy()
    received = await collect(collector, bus.subjects.telemetry_all)
    lost, back = asyncio.Event(), asyncio.Event()
    proxy.on_disconnect(lost.set)
    proxy.on_reconnect(back.set)
    collector_back = asyncio.Event()
    collector.on_reconnect(collector_back.set)
    await bus.server.stop()
    await until(lost)
    assert not proxy.connected
    with pytest.raises(NotConnected, match="was not sent"):
        await proxy.publish(bus.subjects.telemetry("0", "a"), b"lost")
    with pytest.raises(NotConnected):
        await proxy.request(bus.subjects.ca_sign("default", "a"))
    with pytest.raises(NotConnected):
        await proxy.flush()
    await bus.server.start()
    await until(back)
    await until(collector_back)
    assert proxy.connected
    await proxy.publish(bus.subjects.telemetry("0", "a"), b"sent")
    assert (await asyncio.wait_for(received.get(), 5)).data == b"sent"


@pytest.mark.asyncio
async def test_a_request_under_way_ends_with_the_link(bus: BusUnderTest) -> None:
    asked = await collect(await bus.connect(Role.EVALUATOR), bus.subjects.api_policy_all)
    operator = await bus.connect(Role.OPERATOR)
    asking = asyncio.create_task(operator.request(bus.subjects.api_policy("get"), timeout=60))
    await asyncio.wait_for(asked.get(), 5)
    await bus.server.stop()
    with pytest.raises(NoAnswer, match="the link broke"):
        await asyncio.wait_for(asking, 10)


@pytest.mark.asyncio
async def test_a_subscription_made_without_a_link_begins_when_it_is_back(
    bus: BusUnderTest,
) -> None:
    collector = await bus.connect(Role.COLLECTOR)
    lost, back = asyncio.Event(), asyncio.Event()
    collector.on_disconnect(lost.set)
    collector.on_reconnect(back.set)
    await bus.server.stop()
    await until(lost)
    received = await collect(collector, bus.subjects.telemetry_all)
    await bus.server.start()
    await until(back)
    await (await bus.connect_proxy()).publish(bus.subjects.telemetry("0", "a"), b"x")
    assert (await asyncio.wait_for(received.get(), 5)).data == b"x"


@pytest.mark.asyncio
async def test_a_handler_outlives_a_break(bus: BusUnderTest) -> None:
    began, go_on, done = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def handle(message: Message) -> None:
        began.set()
        await go_on.wait()
        done.set()

    collector = await bus.connect(Role.COLLECTOR)
    await collector.subscribe(bus.subjects.telemetry_all, handle)
    await (await bus.connect_proxy()).publish(bus.subjects.telemetry("0", "a"))
    await until(began)
    back = asyncio.Event()
    collector.on_reconnect(back.set)
    await bus.server.restart()
    await until(back)
    go_on.set()
    await until(done)


@pytest.mark.asyncio
async def test_it_comes_back_from_a_killed_server_again_and_again(bus: BusUnderTest) -> None:
    proxy = await bus.connect_proxy()
    for _ in range(3):
        back = asyncio.Event()
        proxy.on_reconnect(back.set)
        assert bus.server.pid is not None
        os.kill(bus.server.pid, signal.SIGKILL)
        await bus.server.wait()
        await bus.server.start()
        await until(back)
        await proxy.flush()


@pytest.mark.asyncio
async def test_a_server_that_hangs_is_noticed_by_pings(bus: BusUnderTest) -> None:
    proxy = await bus.connect_proxy()
    lost, back = asyncio.Event(), asyncio.Event()
    proxy.on_disconnect(lost.set)
    proxy.on_reconnect(back.set)
    with frozen(bus.server):
        # More than the socket takes: nats-py's own close would wait for the server to read it.
        for _ in range(16):
            await proxy.publish(bus.subjects.telemetry("0", "a"), bytes(1024 * 1024))
        await until(lost)
        with pytest.raises(NotConnected):
            await proxy.publish(bus.subjects.telemetry("0", "a"))
    await until(back)


@pytest.mark.asyncio
async def test_a_put_without_answer_may_be_stored_later_and_is_not_stored_twice(
    bus: BusUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await bus.open_store(Bucket.POLICIES)
    monkeypatch.setattr(jetstream, "SECONDS", 0.2)
    with frozen(bus.server), pytest.raises(NoAnswer, match="may still be carried out"):
        await store.put_if("doc.a", b"x", 0)
    monkeypatch.setattr(jetstream, "SECONDS", 5.0)
    with pytest.raises(Conflict):
        await store.put_if("doc.a", b"x", 0)
    assert await store.get("doc.a") == Entry("doc.a", b"x", 1)


@pytest.mark.asyncio
@pytest.mark.parametrize("words", [b"-ERR 'Slow Consumer'\r\n", b"nonsense\r\n" * 1000, b""])
async def test_whatever_ends_a_link_another_follows(words: bytes) -> None:
    async def fail(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if fake.connections > 1:
            await answer_pings(reader, writer)
        for _ in range(2):  # the subscription's ping and the link's
            await until_ping(reader)
            writer.write(b"PONG\r\n")
            if not words:
                return
            writer.write(words)

    async with serve_fake_nats(fail) as fake:
        async with await connect(fake.url, ANYBODY, name="p") as connection:
            back = asyncio.Event()
            connection.on_reconnect(back.set)
            await until(back)
            await connection.flush()
            assert fake.connections == 2


@pytest.mark.asyncio
async def test_a_ping_without_pong_ends_the_link(monkeypatch: pytest.MonkeyPatch) -> None:
    """nats-py's reader would die of a late pong and leave a client that looks connected."""
    monkeypatch.setattr(link, "ROUND_TRIP_SECONDS", 1)

    async def forget(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if fake.connections > 1:
            await answer_pings(reader, writer)
        await until_ping(reader)
        writer.write(b"PONG\r\n")
        await say_nothing(reader, writer)

    async with serve_fake_nats(forget) as fake:
        async with await connect(fake.url, ANYBODY, name="p") as connection:
            back = asyncio.Event()
            connection.on_reconnect(back.set)
            with pytest.raises(NotConnected):
                await connection.flush()
            await until(back)
            await connection.flush()


@pytest.mark.asyncio
async def test_each_start_of_the_server_has_a_name_of_its_own(bus: BusUnderTest) -> None:
    connection, other = await bus.connect(Role.EVALUATOR), await bus.connect(Role.OPERATOR)
    before, back = connection.server, asyncio.Event()
    assert before and before == other.server
    connection.on_reconnect(back.set)
    await bus.server.restart()
    await asyncio.wait_for(back.wait(), 10)
    assert connection.server not in ("", before)


@pytest.mark.asyncio
async def test_a_connection_of_one_start_is_never_at_another(bus: BusUnderTest) -> None:
    who = bus.user(Role.EVALUATOR)
    async with await connect(bus.server.url, who, name="one", one_start=True) as connection:
        served = asyncio.Event()
        subject = bus.subjects.api_policy("apply")

        async def serve(_: Message) -> None:
            served.set()

        await connection.subscribe(subject, serve)
        before, ended = connection.server, asyncio.create_task(connection.until_another_start())
        await bus.server.restart()
        operator = await bus.connect(Role.OPERATOR)
        while not ended.done():
            with pytest.raises(NobodyListens):
                await operator.request(subject)
        with pytest.raises(ServerChanged, match=before):
            await ended
        assert not connection.connected and not served.is_set()
        with pytest.raises(NotConnected):
            await connection.publish(subject)


@pytest.mark.asyncio
async def test_it_is_back_when_the_server_only_hung(
    bus: BusUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "PING_SECONDS", 0.1)
    who, back = bus.user(Role.EVALUATOR), asyncio.Event()
    async with await connect(bus.server.url, who, name="one", one_start=True) as connection:
        connection.on_reconnect(back.set)
        lost = asyncio.Event()
        connection.on_disconnect(lost.set)
        with frozen(bus.server):
            await asyncio.wait_for(lost.wait(), 10)
        await asyncio.wait_for(back.wait(), 10)
        assert connection.connected
