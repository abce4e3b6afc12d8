"""TCP through two sidecars: real sockets, real TLS, real apps behind."""

import asyncio
import hashlib
import socket
import ssl
import struct

import pytest

from tests.support.awaiting import until
from tests.support.certificates import spiffe
from tests.support.serving_plane import CREDENTIAL, PASSWORD, answering, connected
from tests.support.tunnels import CONNECT, Pair, echo, outbound_config, pair, record, served
from tulle.actors.proxy.ends import BUFFER_BYTES
from tulle.actors.proxy.tls import client_context
from tulle.policies.config import (
    AuthorizationConfig,
    AuthorizationRule,
    ConnectionLimits,
    InboundConfig,
    OperationMatch,
    SourceMatch,
)

pytestmark = pytest.mark.asyncio

MEGABYTE = 1_000_000
HELD_BYTES = 4 * BUFFER_BYTES  # with what a few reads bring before the other end is paused
OPENED, CLOSED = "istio_tcp_connections_opened_total", "istio_tcp_connections_closed_total"
SENT, RECEIVED = "istio_tcp_sent_bytes_total", "istio_tcp_received_bytes_total"


def deny(*rules: AuthorizationRule, action: str = "DENY") -> InboundConfig:
    """One AuthorizationPolicy of namespace `default`."""
    policy = AuthorizationConfig("AuthorizationPolicy/default/no", (), action, rules)  # type: ignore[arg-type]
    return InboundConfig("default", policies=(policy,))


CLIENTS = AuthorizationRule(
    "rules[0]", (SourceMatch(principals=("cluster.local/ns/default/sa/client",)),)
)


async def test_bytes_go_both_ways_and_are_counted_at_both_ends() -> None:
    async with served(echo) as both:
        async with both.tunnel() as client:
            client.send(b"select 1;")
            assert await client.exactly(9) == b"select 1;"
            assert both.counted(both.ours, CLOSED) == {}, "it is still open"
            client.writer.write_eof()
            assert await client.all() == b""
        await until(lambda: both.counted(both.theirs, CLOSED) == {"-": 1})
        await until(lambda: both.counted(both.ours, CLOSED) == {"-": 1})
        for plane in (both.ours, both.theirs):
            assert both.counted(plane, OPENED) == {"-": 1}
            assert both.counted(plane, SENT) == both.counted(plane, RECEIVED) == {"-": 9}
        labels = [
            next(it for it in plane.stats.snapshot(False) if it.name == OPENED).labels
            for plane in (both.ours, both.theirs)
        ]
        assert [it["reporter"] for it in labels] == ["source", "destination"]
        for it in labels:
            assert it["request_protocol"] == "tcp"
            assert it["source_workload"] == "client-v1"
            assert it["destination_workload"] == "db-v1"
            assert it["source_principal"] == spiffe("client")
            assert it["destination_principal"] == spiffe("db")
            assert it["destination_service"] == "db.default.svc.cluster.local"
        assert [s for s in both.ours.stats.snapshot(False) if "requests" in s.name] == []


async def test_50_megabytes_each_way_with_a_reader_that_waits() -> None:
    total = 50 * MEGABYTE
    piece = bytes(range(256)) * 256
    async with served(echo) as both, both.tunnel() as client:
        written = 0

        async def write() -> None:
            nonlocal written
            while written < total:
                data = piece[: total - written]
                client.writer.write(data)
                await client.writer.drain()
                written += len(data)
            client.writer.write_eof()

        writing = asyncio.create_task(write())
        stalled, rounds = -1, 0
        async with asyncio.timeout(20):  # nobody reads: the whole way fills up, and then it stands
            while rounds < 20:
                rounds = rounds + 1 if written == stalled else 0
                stalled = written
                await asyncio.sleep(0.01)
        assert 0 < written < total
        assert max(_buffered(both)) <= HELD_BYTES
        digest, read = hashlib.sha256(), 0
        async with asyncio.timeout(60):
            while data := await client.reader.read(262_144):
                digest.update(data)
                read += len(data)
                assert max(_buffered(both), default=0) <= HELD_BYTES
            await writing
        assert read == total
        whole = (piece * (total // len(piece) + 1))[:total]
        assert digest.digest() == hashlib.sha256(whole).digest()
        await until(lambda: both.counted(both.ours, SENT) == {"-": total})
        await until(lambda: both.counted(both.theirs, RECEIVED) == {"-": total})


async def test_a_client_that_has_said_all_still_hears_the_answer() -> None:
    async def app(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        question = await reader.read()
        for word in (b"all ", b"of ", question):
            writer.write(word)
            await writer.drain()
            await asyncio.sleep(0.01)

    async with served(app) as both, both.tunnel() as client:
        client.send(b"it")
        client.writer.write_eof()
        assert await client.all() == b"all of it"


async def test_an_app_that_has_said_all_still_hears_the_client() -> None:
    heard = asyncio.get_running_loop().create_future()

    async def app(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"welcome, and tell me")
        writer.write_eof()
        heard.set_result(await reader.read())

    async with served(app) as both, both.tunnel() as client:
        assert await client.all() == b"welcome, and tell me"
        client.send(b"everything")
        client.writer.write_eof()
        async with asyncio.timeout(5):
            assert await heard == b"everything"
        await until(lambda: both.counted(both.ours, CLOSED) == {"-": 1})


async def test_a_client_may_speak_before_it_is_answered() -> None:
    async with served(echo) as both, both.client() as client:
        client.send(CONNECT + b"early")
        assert (await client.head()).startswith(b"HTTP/1.1 200 ")
        assert await client.exactly(5) == b"early"


async def test_an_app_that_resets_is_no_end_of_the_stream() -> None:
    async def app(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(1)
        writer.write(b"half of")
        await writer.drain()
        await reader.readexactly(1)
        reset(writer)

    async with served(app) as both, both.tunnel() as client:
        client.send(b"1")
        assert await client.exactly(7) == b"half of"
        client.send(b"2")
        with pytest.raises(ConnectionResetError):
            await client.all()
        await until(lambda: both.counted(both.ours, CLOSED) == {"UC": 1})
        await until(lambda: both.counted(both.theirs, CLOSED) == {"UC": 1})


async def test_a_client_that_breaks_off_resets_the_app() -> None:
    outcome = asyncio.get_running_loop().create_future()

    async def app(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            outcome.set_result(await reader.read())
        except ConnectionResetError:
            outcome.set_result("reset")

    async with served(app) as both, both.tunnel() as client:
        client.send(b"half of")
        await until(lambda: both.counted(both.theirs, RECEIVED) == {"-": 7})
        reset(client.writer)
        async with asyncio.timeout(5):
            assert await outcome == "reset"
        await until(lambda: both.counted(both.theirs, CLOSED) == {"DC": 1})
        await until(lambda: both.counted(both.ours, CLOSED) == {"DC": 1})


async def test_an_idle_tunnel_ends() -> None:
    limits = ConnectionLimits(tcp_idle_timeout_ms=200)
    async with served(echo, limits=limits) as both, both.tunnel() as client:
        with pytest.raises(ConnectionResetError):
            await client.all()
        await until(lambda: both.counted(both.ours, CLOSED) == {"SI": 1})
        await until(lambda: both.counted(both.theirs, CLOSED) == {"DC": 1})


async def test_the_certificate_of_another_account_is_refused_before_the_tunnel() -> None:
    async with served(echo, account="reviews") as both:
        assert await both.refusal() == (503, "identity_refused")
        assert both.counted(both.theirs, OPENED) == {}


async def test_no_endpoint_no_app_no_tunnel() -> None:
    async with served(echo) as both:
        both.ours.install_service(record())
        assert await both.refusal() == (503, "no_endpoints")
    async with pair(_closed_port()) as both:
        assert await both.refusal() == (503, "connect_failed")
        assert both.counted(both.ours, OPENED) == {}


async def test_another_endpoint_is_tried_when_one_does_not_answer() -> None:
    async with served(echo) as both:
        both.ours.install_service(record(_closed_port(), both.inbound, _closed_port()))
        for _ in range(4):
            async with both.tunnel() as client:
                client.send(b"x")
                assert await client.exactly(1) == b"x"


async def test_an_endpoint_that_never_answers_is_given_up() -> None:
    limits = ConnectionLimits(connect_timeout_ms=200)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        async with served(echo, limits=limits) as both:
            both.ours.install_service(record(silent.getsockname()[1]))
            assert await both.refusal() == (503, "connect_timeout")


async def test_a_client_that_leaves_while_it_waits_leaves_nothing() -> None:
    limits = ConnectionLimits(max_connections=1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.setblocking(False)
        async with served(echo, limits=limits) as both:
            both.ours.install_service(record(silent.getsockname()[1]))
            async with both.client() as client:
                client.send(CONNECT)
                dialled, _ = await asyncio.get_running_loop().sock_accept(silent)
                assert await both.refusal() == (503, "upstream_overflow")
            dialled.setblocking(False)
            async with asyncio.timeout(5):  # the dial is given up with it
                while await asyncio.get_running_loop().sock_recv(dialled, 65_536):
                    pass
            dialled.close()
            both.ours.install_service(record(both.inbound))
            async with both.tunnel():
                pass


async def test_what_is_no_tcp_port_of_the_mesh_is_not_connected_to() -> None:
    async with served(echo) as both:
        rest = b" HTTP/1.1\r\nHost: x\r\n"
        with_credential = rest + CREDENTIAL + b"\r\n\r\n"
        assert await both.refusal(b"CONNECT db:5432" + rest + b"\r\n") == (
            407,
            "credential_missing",
        )
        for host in (b"db:8080", b"example.com:443"):
            refusal = await both.refusal(b"CONNECT " + host + with_credential)
            assert refusal == (501, "connect_not_supported"), host
        assert await both.refusal(b"CONNECT db:1" + with_credential) == (404, "unknown_port")
        for target in (b"db", b"db:", b"http://db:5432/", b"/", b"db:5432/x", b"db:0"):
            refusal = await both.refusal(b"CONNECT " + target + with_credential)
            assert refusal == (400, "bad_request"), target
        request = b"GET http://db:5432/" + with_credential
        assert await both.refusal(request) == (400, "tcp_port")


async def test_a_connect_waits_for_the_config_of_its_host() -> None:
    async with served(echo, installed=False) as both, both.client() as client:
        client.send(CONNECT)
        await until(lambda: both.wanted == ["db.default.svc.cluster.local"])
        both.ours.install_outbound(outbound_config())
        assert (await client.head()).startswith(b"HTTP/1.1 200 ")


async def test_curl_goes_through() -> None:
    answer = answering(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
    async with served(answer) as both:
        proxy = f"http://tulle:{PASSWORD.decode()}@127.0.0.1:{both.proxy}"
        curl = await asyncio.create_subprocess_exec(
            *("curl", "-sS", "--proxytunnel", "--max-time", "10", "-x", proxy, "http://db:5432/"),
            stdout=asyncio.subprocess.PIPE,
        )
        out, _ = await curl.communicate()
        assert (curl.returncode, out) == (0, b"hello")


async def test_connections_have_a_limit() -> None:
    async with served(echo, limits=ConnectionLimits(max_connections=2)) as both:
        async with both.tunnel(), both.tunnel():
            assert await both.refusal() == (503, "upstream_overflow")
        await until(lambda: both.counted(both.ours, CLOSED) == {"-": 2})
        async with both.tunnel():
            pass


async def test_a_policy_decides_by_the_connection_and_cuts_what_it_would_refuse() -> None:
    async with served(echo) as both:
        both.theirs.install_inbound(deny(CLIENTS, action="ALLOW"))
        async with both.tunnel() as client:
            client.send(b"x")
            assert await client.exactly(1) == b"x"
            both.theirs.install_inbound(deny(CLIENTS))
            with pytest.raises(ConnectionResetError):
                await client.all()
            await until(lambda: both.counted(both.theirs, CLOSED) == {"UAEX": 1})
        assert await both.refusal() == (403, "rbac_denied")
        gets = AuthorizationRule("rules[0]", (), (OperationMatch(methods=("GET",)),))
        both.theirs.install_inbound(deny(gets, action="ALLOW"))
        assert await both.refusal() == (403, "rbac_denied"), "there is no GET in TCP"


async def test_draining_all_ends_what_clients_have_open() -> None:
    async with served(echo) as both, both.tunnel() as client:
        drained = await both.ours.drain("all", 0)
        assert (drained.finished, drained.cut) == (0, 1)
        with pytest.raises(ConnectionResetError):
            await client.all()


async def test_a_drain_cuts_what_is_left_at_its_end() -> None:
    async with served(echo) as both, both.tunnel() as first, both.tunnel() as second:
        draining = asyncio.create_task(both.theirs.drain("inbound", 0.5))
        first.send(b"still")
        assert await first.exactly(5) == b"still"
        first.writer.write_eof()
        assert await first.all() == b""
        drained = await draining
        assert (drained.finished, drained.cut) == (1, 1)
        with pytest.raises(ConnectionResetError):
            await second.all()


@pytest.mark.parametrize(
    "said", [b"\0\0\0\0", b"\xff\xff\xff\xff", b"\0\0\0\3abc", b"GET / HTTP/1.1\r\n\r\n"]
)
async def test_who_does_not_greet_is_closed(said: bytes) -> None:
    async with served(echo) as both:
        context = client_context(both.root.identity("client"))
        async with connected(both.inbound, context) as peer:
            peer.send(said)
            try:
                assert await peer.all() == b""
            except (ConnectionError, ssl.SSLError):
                pass
        assert both.counted(both.theirs, OPENED) == {}


def _buffered(both: Pair) -> list[int]:
    """Bytes that wait in each connection of each open tunnel."""
    tunnels = [*both.ours._tunnels.open]
    for edge in both.theirs._inbound_tcp.values():
        tunnels += edge.tunnels.open
    ends = [end for tunnel in tunnels for end in (tunnel._client, tunnel._server)]
    return [end.transport.get_write_buffer_size() + len(end._early) for end in ends]


def reset(writer: asyncio.StreamWriter) -> None:
    raw = writer.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def _closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    assert isinstance(port, int)
    return port
