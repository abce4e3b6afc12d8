"""Retries, limits, ejection, faults and edits on real sockets: a gateway before failing apps."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

import pytest

from tests.support.awaiting import until
from tests.support.serving_plane import (
    Backend,
    Handler,
    answering,
    connected,
    gateway_config,
    listening,
    plane_of,
    read_head,
    spec,
    static_cluster,
)
from tulle.actors.proxy.cluster import Cluster
from tulle.actors.proxy.gateway import GatewayEdge
from tulle.actors.proxy.plane import Plane
from tulle.policies import config as configs
from tulle.policies.decide.plan import DEFAULT_RETRY, LocalAnswer, Plan, Retry
from tulle.policies.decide.route import Choice

GET = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
BUSY = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy"

pytestmark = pytest.mark.asyncio


@asynccontextmanager
async def gateway_to(
    *ports: int,
    retry: Retry = DEFAULT_RETRY,
    plan: Plan | None = None,
    limits: configs.ConnectionLimits | None = None,
    outlier: configs.Outlier | None = None,
) -> AsyncIterator[tuple[Plane, int]]:
    """A gateway whose one choice says more than a config of a test can, and its port."""
    plane = plane_of(spec())
    config = static_cluster(*ports, balancer="ROUND_ROBIN")
    config = replace(config, limits=limits, outlier=outlier)
    plane.install_gateway(gateway_config(config))
    protocol = plane.gateway_protocol(80)
    edge = protocol.edge  # type: ignore[attr-defined]
    assert isinstance(edge, GatewayEdge) and edge.choose is not None
    plain = edge.choose(b"GET", b"/", b"a", [], 0.0)
    assert plain is not None
    choice: Choice[Cluster] = replace(plain, retry=retry, plan=plan)
    edge.choose = lambda method, path, authority, headers, uniform: choice
    async with listening(lambda: plane.gateway_protocol(80)) as port:
        yield plane, port
        await plane.drain("all", 0)


def counted(plane: Plane) -> dict[tuple[str, str], float]:
    """Requests by response code and flags."""
    series = [it for it in plane.stats.snapshot(False) if it.name == "istio_requests_total"]
    sums: dict[tuple[str, str], float] = {}
    for it in series:
        key = (it.labels["response_code"], it.labels["response_flags"])
        sums[key] = sums.get(key, 0) + (it.value or 0)
    return sums


async def resetting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Reads a head, and ends the connection without an answer."""
    await read_head(reader)
    writer.transport.abort()


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Never answers."""
    await reader.read()


def echoing(length: int) -> Handler:
    """Answers with the body of `length` bytes that came."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_head(reader)
            body = await reader.readexactly(length)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (length, body))

    return handler


async def test_a_closed_port_and_a_reset_are_not_seen_by_the_client() -> None:
    async with Backend(resetting) as bad, Backend(answering(OK)) as good:
        async with Backend(silent) as gone:
            pass
        async with gateway_to(gone.port, bad.port, good.port) as (plane, port):
            for _ in range(6):
                async with connected(port) as client:
                    client.send(GET)
                    assert (await client.answer())[0] == 200
            assert counted(plane) == {("200", "-"): 6}


async def test_nothing_there_at_all() -> None:
    async with Backend(silent) as gone:
        pass
    async with gateway_to(gone.port) as (plane, port), connected(port) as client:
        client.send(GET)
        status, head, _ = await client.answer()
        assert status == 503
        assert b"x-tulle-reason: connect_failed" in head
        assert counted(plane) == {("503", "UF,URX"): 1}


async def test_a_body_of_64_kib_is_sent_again() -> None:
    body = bytes(range(256)) * 256
    put = b"PUT /x HTTP/1.1\r\nHost: a\r\nContent-Length: 65536\r\n\r\n" + body
    async with (
        Backend(resetting) as bad,
        Backend(echoing(len(body))) as good,
        gateway_to(bad.port, good.port) as (_, port),
    ):
        for _ in range(4):
            async with connected(port) as client:
                client.send(put)
                status, _, answered = await client.answer()
                assert (status, answered == body) == (200, True)
        assert bad.connections


async def test_a_status_that_the_policy_lists_is_tried_again() -> None:
    retry = Retry(1, statuses=frozenset({503}))
    async with (
        Backend(answering(BUSY)) as busy,
        Backend(answering(OK)) as good,
        gateway_to(busy.port, good.port, retry=retry) as (_, port),
        connected(port) as client,
    ):
        for _ in range(6):
            client.send(GET)
            assert (await client.answer())[0] == 200
        assert busy.connections == 1  # it is kept: its answers were whole


async def test_a_try_has_its_time() -> None:
    retry = Retry(1, per_try=0.3)
    async with (
        Backend(silent) as slow,
        Backend(answering(OK)) as good,
        gateway_to(slow.port, good.port, retry=retry) as (_, port),
        connected(port) as client,
    ):
        for _ in range(2):
            client.send(GET)
            assert (await client.answer())[0] == 200
    async with (
        Backend(silent) as slow,
        gateway_to(slow.port, retry=retry) as (plane, port),
        connected(port) as client,
    ):
        client.send(GET)
        status, head, _ = await client.answer()
        assert (status, b"per_try_timeout" in head) == (504, True)
        assert counted(plane) == {("504", "UT,URX"): 1}


async def test_one_connection_one_that_waits_and_the_others_are_refused() -> None:
    go = asyncio.Event()

    async def held(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_head(reader)
            await go.wait()
            writer.write(OK)

    limits = configs.ConnectionLimits(max_connections=1, max_pending_requests=1)
    async with (
        Backend(held) as app,
        gateway_to(app.port, limits=limits) as (plane, port),
        AsyncExitStack() as stack,
    ):
        clients = [await stack.enter_async_context(connected(port)) for _ in range(4)]
        clients[0].send(GET)
        await until(lambda: app.connections == 1)
        for client in clients[1:]:
            client.send(GET)
        await until(lambda: counted(plane).get(("503", "UO")) == 2)
        go.set()
        answers = [await client.answer() for client in clients]
        assert sorted(status for status, _, _ in answers) == [200, 200, 503, 503]
        assert all(b"upstream_overflow" in head for status, head, _ in answers if status == 503)
        assert app.connections == 1


async def test_a_connection_for_each_request() -> None:
    limits = configs.ConnectionLimits(max_connections=1, max_requests_per_connection=1)
    async with (
        Backend(answering(OK)) as app,
        gateway_to(app.port, limits=limits) as (_, port),
        AsyncExitStack() as stack,
    ):
        clients = [await stack.enter_async_context(connected(port)) for _ in range(5)]
        for client in clients:
            client.send(GET)
        assert [(await client.answer())[0] for client in clients] == [200] * 5
        assert app.connections == 5


async def test_an_endpoint_that_fails_is_ejected_and_comes_back() -> None:
    outlier = configs.Outlier(
        consecutive_5xx=2, interval_ms=300, base_ejection_ms=300, max_ejection_percent=50
    )
    async with (
        Backend(answering(BUSY)) as busy,
        Backend(answering(OK)) as good,
        gateway_to(busy.port, good.port, outlier=outlier) as (_, port),
        connected(port) as client,
    ):

        async def status() -> int:
            client.send(GET)
            return (await client.answer())[0]

        async with asyncio.timeout(20):
            while await status() == 200:
                pass
            while 503 in [await status() for _ in range(4)]:  # in its turn: every second one
                pass
            while await status() == 200:
                pass


async def test_faults_edits_and_answers() -> None:
    async with Backend(answering(OK)) as app:
        delayed = Plan(
            delay=0.2, delay_share=1.0, edit_response=lambda lines: [*lines, b"x-by: us"]
        )
        async with gateway_to(app.port, plan=delayed) as (plane, port), connected(port) as client:
            client.send(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
            status, head, body = await client.answer()
            assert (status, body, b"x-by: us" in head) == (200, b"hello", True)
            assert counted(plane) == {("200", "DI"): 1}
        aborted = Plan(abort_status=500, abort_share=1.0)
        async with gateway_to(app.port, plan=aborted) as (plane, port), connected(port) as client:
            client.send(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello" + GET)
            for _ in range(2):
                status, head, _ = await client.answer()
                assert (status, b"fault_injected" in head) == (500, True)
            assert counted(plane) == {("500", "FI"): 2}
        moved = LocalAnswer(302, ((b"location", b"/y"),))
        redirected = Plan(answer=lambda asked: moved)
        async with gateway_to(app.port, plan=redirected) as (_, port), connected(port) as client:
            client.send(GET)
            assert b"\r\nlocation: /y\r\n" in (await client.answer())[1]


async def test_what_a_config_says_is_done() -> None:
    """From the compiled config on: fault, retry, rewrite and edits of one route."""
    seen: list[bytes] = []
    async with Backend(answering(BUSY, seen)) as busy, Backend(answering(OK, seen)) as good:
        cluster = static_cluster(busy.port, good.port, balancer="ROUND_ROBIN")
        config = gateway_config(cluster)
        route = replace(
            config.listeners[0].virtual_hosts[0].routes[0],
            fault=configs.Fault(delay_ms=100, delay_percent=100.0),
            retry=configs.RetryPolicy(1, on=("gateway-error",)),
            rewrite=configs.Rewrite("full", value="/y", authority="other"),
            edits=configs.Edits(
                configs.HeaderEdits(set=(("x-team", "a"),)),
                configs.HeaderEdits(add=(("x-by", "us"),)),
            ),
        )
        host = replace(config.listeners[0].virtual_hosts[0], routes=(route,))
        plane = plane_of(spec())
        listener = replace(config.listeners[0], virtual_hosts=(host,))
        plane.install_gateway(replace(config, listeners=(listener,)))
        async with listening(lambda: plane.gateway_protocol(80)) as port, connected(port) as client:
            for _ in range(2):
                client.send(GET)
                status, head, body = await client.answer()
                assert (status, body) == (200, b"hello")
                assert b"\r\nx-by: us\r\n" in head
            await plane.drain("all", 0)
    assert len(seen) >= 3  # of two requests, at least one was tried twice
    for head in seen:
        assert head.startswith(b"GET /y HTTP/1.1\r\nhost: other\r\n")
        assert b"\r\nx-team: a\r\n" in head
    assert counted(plane) == {("200", "DI"): 2}
