"""A gateway's plane between raw clients and scripted servers: framing, order, endings."""

import asyncio

import pytest

from tests.support.awaiting import until
from tests.support.serving_plane import (
    Backend,
    answering,
    connected,
    gateway,
    read_head,
)

GET = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-From: app\r\n\r\nhello"

CHUNKS = b"b\r\nhello world\r\n0\r\n\r\n"  # of one read: one chunk

pytestmark = pytest.mark.asyncio


async def test_a_request_and_its_answer() -> None:
    heads: list[bytes] = []
    async with (
        Backend(answering(OK, heads)) as app,
        gateway(app.port) as (_, port),
        connected(port) as client,
    ):
        for _ in range(3):
            client.send(GET)
            status, head, body = await client.answer()
            assert (status, body) == (200, b"hello")
            assert b"\r\nX-From: app\r\n" in head
            assert b"connection" not in head.lower()
        assert app.connections == 1
        lines = heads[0].split(b"\r\n")
        assert lines[:2] == [b"GET /x HTTP/1.1", b"host: a"]
        assert b"x-forwarded-for: 127.0.0.1" in lines
        assert b"x-forwarded-proto: http" in lines
        names = [line.partition(b":")[0] for line in lines]
        assert b"x-request-id" in names
        assert b"traceparent" in names


async def test_ids_and_addresses_that_came_are_passed_on() -> None:
    heads: list[bytes] = []
    parent = b"traceparent: 00-" + b"1" * 32 + b"-" + b"2" * 16 + b"-01"
    async with (
        Backend(answering(OK, heads)) as app,
        gateway(app.port) as (_, port),
        connected(port) as client,
    ):
        client.send(
            GET[:-2] + b"X-Request-Id: mine\r\nX-Forwarded-For: 9.9.9.9\r\n"
            b"X-Forwarded-Proto: https\r\nX-Tulle-Peer: forged\r\n" + parent + b"\r\n\r\n"
        )
        await client.answer()
    lines = heads[0].split(b"\r\n")
    assert b"x-request-id: mine" in lines
    assert parent in lines
    assert b"x-forwarded-for: 9.9.9.9, 127.0.0.1" in lines
    assert [line for line in lines if line.startswith(b"x-forwarded-proto")] == [
        b"x-forwarded-proto: http"
    ]
    assert b"forged" not in heads[0]


async def test_pipelined_requests_are_answered_in_order() -> None:
    async def slow_first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await read_head(reader)
            path = head.split(b" ")[1]
            # Time for the others to overtake the first, if they could.
            await asyncio.sleep(0.05 if path == b"/0" else 0)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(path), path))

    async with (
        Backend(slow_first) as app,
        gateway(app.port) as (_, port),
        connected(port) as client,
    ):
        client.send(b"".join(GET.replace(b"/x", b"/%d" % n) for n in range(20)))
        for n in range(20):
            assert (await client.answer())[2] == b"/%d" % n


@pytest.mark.parametrize(
    ("request_head", "body"),
    [
        (b"Content-Length: 11\r\n", b"hello world"),
        (b"Transfer-Encoding: chunked\r\n", b"5;x\r\nhello\r\n6\r\n world\r\n0\r\nT: 1\r\n\r\n"),
    ],
)
async def test_bodies_are_framed_anew(request_head: bytes, body: bytes) -> None:
    got: list[bytes] = []

    async def app_reads(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await read_head(reader)
        if b"content-length: 11" in head:
            got.append(await reader.readexactly(11))
        else:
            assert b"transfer-encoding: chunked" in head
            got.append(await reader.readuntil(b"0\r\n\r\n"))
        writer.write(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;y\r\nabc\r\n0\r\nT: 2\r\n\r\n"
        )

    async with (
        Backend(app_reads) as app,
        gateway(app.port) as (_, port),
        connected(port) as client,
    ):
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\n" + request_head + b"\r\n" + body)
        head = await client.head()
        assert b"transfer-encoding: chunked" in head
        assert await client.reader.readuntil(b"0\r\n\r\n") == b"3\r\nabc\r\n0\r\n\r\n"
    assert got == [b"hello world" if b"Length" in request_head else CHUNKS]


async def test_a_response_delimited_by_close() -> None:
    async def app_closes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nhel")
        await writer.drain()
        writer.write(b"lo")

    async with Backend(app_closes) as app, gateway(app.port) as (_, port):
        async with connected(port) as client:
            client.send(GET)
            assert b"transfer-encoding: chunked" in await client.head()
            chunks = await client.reader.readuntil(b"0\r\n\r\n")
            assert b"".join(chunks.split(b"\r\n")[1:-3:2]) == b"hello"
            client.send(GET)  # the client's connection is kept
            assert b"200 OK" in await client.head()
        async with connected(port) as client:
            client.send(GET.replace(b"1.1", b"1.0"))
            response = await client.all()
            assert response.endswith(b"\r\n\r\nhello")
            assert b"transfer-encoding" not in response
            assert b"connection: close" in response


async def test_http_1_0_clients_close_or_keep() -> None:
    async with Backend(answering(OK)) as app, gateway(app.port) as (_, port):
        async with connected(port) as client:
            client.send(b"GET / HTTP/1.0\r\n\r\n")
            response = await client.all()
            assert response.startswith(b"HTTP/1.1 200 OK")
            assert b"connection: close" in response
        async with connected(port) as client:
            for _ in range(2):
                client.send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
                assert b"connection: keep-alive" in (await client.answer())[1]


async def test_head_and_not_modified_have_no_body() -> None:
    async def by_method(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await read_head(reader)
            if head.startswith(b"HEAD"):
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
            elif b"/304" in head:
                writer.write(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n")
            else:
                writer.write(OK)

    async with (
        Backend(by_method) as app,
        gateway(app.port) as (_, port),
        connected(port) as client,
    ):
        for _ in range(2):
            client.send(GET.replace(b"GET", b"HEAD"))
            assert b"content-length: 5" in await client.head()
            client.send(GET.replace(b"/x", b"/304"))
            assert b"304 Not Modified" in await client.head()
            client.send(GET)
            assert (await client.answer())[2] == b"hello"
        assert app.connections == 1


async def test_100_continue_goes_both_ways() -> None:
    async def continues(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await read_head(reader)
        assert b"expect: 100-continue" in head
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert await reader.readexactly(5) == b"hello"
        writer.write(OK)

    async with (
        Backend(continues) as app,
        gateway(app.port) as (_, port),
        connected(port) as client,
    ):
        client.send(
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
        )
        assert await client.head() == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.send(b"hello")
        assert (await client.answer())[0] == 200


async def test_an_answer_before_the_request_is_complete() -> None:
    done = asyncio.Event()

    async def early(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
        await reader.read()
        done.set()

    async with Backend(early) as app, gateway(app.port) as (_, port), connected(port) as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\npart")
        response = await client.all()  # and the end: the rest of the body is not wanted
        assert response.startswith(b"HTTP/1.1 413 ")
        assert b"connection: close" in response
        assert response.endswith(b"no")
        await done.wait()  # the upstream connection is not used again


async def test_a_client_that_goes_ends_the_upstream_request() -> None:
    gone = asyncio.Event()
    came = asyncio.Event()

    async def waits(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        came.set()
        try:
            await reader.read()
        finally:
            gone.set()

    async with Backend(waits) as app, gateway(app.port) as (plane, port):
        async with connected(port) as client:
            client.send(GET)
            await came.wait()
        async with asyncio.timeout(5):
            await gone.wait()
        flags = {s.labels["response_flags"] for s in plane.stats.snapshot(False)}
        assert flags == {"DC"}


@pytest.mark.parametrize(
    "beginning",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\npart",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\nzzz\r\n",
    ],
)
@pytest.mark.parametrize("version", [b"1.1", b"1.0"])
async def test_a_truncated_answer_never_ends_cleanly(beginning: bytes, version: bytes) -> None:
    begun = asyncio.Event()

    async def truncates(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(beginning[:50])
        await begun.wait()
        writer.write(beginning[50:])

    async with Backend(truncates) as app, gateway(app.port) as (_, port), connected(port) as client:
        client.send(GET.replace(b"1.1", version))
        assert b" 200 " in await client.head()
        begun.set()
        with pytest.raises(ConnectionResetError):
            await client.all()


async def test_an_answer_that_is_no_http() -> None:
    async with (
        Backend(answering(b"SSH-2.0-what\r\n\r\n")) as app,
        gateway(app.port) as (_, port),
        connected(port) as client,
    ):
        client.send(GET)
        status, head, _ = await client.answer()
        assert status == 502
        assert b"x-tulle-reason: upstream_protocol" in head


@pytest.mark.parametrize(
    ("data", "status", "reason"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 400, b"host_missing"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400, b"host_repeated"),
        (b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", 501, b"connect_not_supported"),
        (b"nonsense\r\n\r\n", 400, b"bad_request"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nz\r\n", 400,
         b"bad_request"),
    ],
)  # fmt: skip
async def test_what_is_refused_is_said_and_then_the_connection_ends(
    data: bytes, status: int, reason: bytes
) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with Backend(silent) as app, gateway(app.port) as (_, port), connected(port) as client:
        client.send(data + b"x" * 100_000)  # unread bytes must not reset the answer away
        response = await client.all()
        assert response.startswith(b"HTTP/1.1 %d " % status)
        assert b"x-tulle-reason: " + reason in response
        assert b"connection: close" in response


async def test_a_local_answer_keeps_the_connection() -> None:
    async with gateway() as (_, port), connected(port) as client:
        for _ in range(2):
            client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello")
            status, head, body = await client.answer()
            assert status == 503
            assert b"x-tulle-reason: no_endpoints" in head
            assert b"connection" not in head
            assert body == b"No workload is ready to serve this.\n"
        client.send(GET.replace(b"GET", b"HEAD"))
        assert b"no_endpoints" in await client.head()
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 50000000\r\n\r\nhello")
        assert b"connection: close" in await client.all()


async def test_a_connection_that_cannot_be_made() -> None:
    async with Backend(answering(OK)) as app:
        port = app.port
    async with gateway(port) as (_, ours), connected(ours) as client:
        client.send(GET)
        status, head, _ = await client.answer()
        assert status == 503
        assert b"x-tulle-reason: connect_failed" in head


async def test_another_endpoint_is_tried_when_one_does_not_answer_the_phone() -> None:
    async with Backend(answering(OK)) as gone:
        pass
    async with (
        Backend(answering(OK)) as app,
        gateway(gone.port, app.port, balancer="ROUND_ROBIN") as (_, port),
        connected(port) as client,
    ):
        for _ in range(6):
            client.send(GET)
            assert (await client.answer())[0] == 200


async def test_a_closed_idle_connection_costs_no_request() -> None:
    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(OK)
        # The next request on this connection is read and not answered.
        await read_head(reader)

    async with Backend(once) as app, gateway(app.port) as (_, port), connected(port) as client:
        for _ in range(5):
            client.send(GET)
            assert (await client.answer())[0] == 200
        client.send(GET.replace(b"GET", b"POST")[:-2] + b"Content-Length: 1\r\n\r\nx")
        status, head, _ = await client.answer()
        assert status == 503
        assert b"upstream_reset" in head


async def test_route_timeout_before_and_after_the_answer_began() -> None:
    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await read_head(reader)
        if b"/begin" in head:
            writer.write(OK[:-2])
        await reader.read()

    async with Backend(slow) as app, gateway(app.port, timeout_ms=100) as (_, port):
        async with connected(port) as client:
            client.send(GET)
            status, head, _ = await client.answer()
            assert status == 504
            assert b"x-tulle-reason: route_timeout" in head
        async with connected(port) as client:
            client.send(GET.replace(b"/x", b"/begin"))
            with pytest.raises(ConnectionResetError):
                await client.all()


async def test_large_bodies_wait_for_slow_readers() -> None:
    size = 30_000_000
    sent = 0

    async def floods(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        while sent < size:
            writer.write(b"x" * 100_000)
            sent += 100_000
            await writer.drain()
        await reader.read()

    async with Backend(floods) as app, gateway(app.port) as (_, port), connected(port) as client:
        client.send(GET)
        await client.head()
        await asyncio.sleep(0.3)  # a quiet time: as much as could come has come
        assert sent < 20_000_000  # kernel buffers on two connections, not all of it
        left = size
        while left:
            left -= len(await client.exactly(min(left, 1_000_000)))


async def test_large_uploads_wait_for_slow_apps() -> None:
    size = 30_000_000
    go = asyncio.Event()

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        await go.wait()
        left = size
        while left:
            left -= len(await reader.read(1_000_000))
        writer.write(OK)

    async with Backend(slow) as app, gateway(app.port) as (_, port), connected(port) as client:
        client.send(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size)
        sent = 0
        while sent < size:
            client.send(b"x" * 500_000)
            sent += 500_000
            try:
                async with asyncio.timeout(0.3 if not go.is_set() else 10):
                    await client.writer.drain()
            except TimeoutError:
                assert sent < 20_000_000
                go.set()
        assert go.is_set()
        assert (await client.answer())[0] == 200


async def test_drain_lets_answers_finish_and_closes_what_is_idle() -> None:
    came, release = asyncio.Event(), asyncio.Event()

    async def waits(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await read_head(reader)
            if b"/slow" in head:
                came.set()
                await release.wait()
            writer.write(OK)

    async with Backend(waits) as app, gateway(app.port) as (plane, port):
        async with connected(port) as busy, connected(port) as idle, connected(port) as late:
            for client in (idle, late):
                client.send(GET)
                await client.answer()
            busy.send(GET.replace(b"/x", b"/slow"))
            await came.wait()
            draining = asyncio.ensure_future(plane.drain("all", 0.5))
            await until(lambda: all(edge.draining for edge in plane._gateways.values()))
            late.send(GET)
            assert b"connection: close" in await late.all()
            release.set()
            assert b"connection: close" in await busy.all()
            drained = await draining
            assert await idle.all() == b""
            assert (drained.finished, drained.idle, drained.cut) == (2, 1, 0)
