"""The listener on real sockets, under asyncio and uvloop."""

import asyncio
import errno
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import cast

import pytest
import uvloop

from tests.support.awaiting import until
from tests.support.certificates import MeshRoot, spiffe
from tulle.actors.holding.group import open_listening
from tulle.actors.proxy import tls
from tulle.actors.proxy.listener import Kind, Limits, Listener

Run = Callable[[Coroutine[None, None, None]], None]
End = tuple[asyncio.StreamReader, asyncio.StreamWriter]
LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
MESH = MeshRoot()
REVIEWS, PAGE = MESH.identity("reviews"), MESH.identity("productpage")


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Run:
    """Runs a scenario on the loop of the parameter; nothing may go to its exception handler."""

    def run(scenario: Coroutine[None, None, None]) -> None:
        unhandled: list[dict[str, object]] = []
        with asyncio.Runner(loop_factory=LOOPS[request.param]) as runner:
            runner.get_loop().set_exception_handler(lambda _, context: unhandled.append(context))
            runner.run(scenario)
        assert unhandled == []

    return run


class Echo(asyncio.Protocol):
    """Echoes; `peers` has the SPIFFE id of each connection."""

    def __init__(self, peers: list[str | None]) -> None:
        self._peers = peers

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # No isinstance: uvloop's transports are no subclasses of asyncio's.
        self.transport = cast(asyncio.Transport, transport)
        self._peers.append(tls.peer_spiffe_id(transport))

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


class Served:
    """A listener with its address and the peers that it let in."""

    def __init__(self, kind: Kind, limits: Limits) -> None:
        self.sock = open_listening("127.0.0.1", 0)
        self.address: tuple[str, int] = self.sock.getsockname()
        self.peers: list[str | None] = []
        self.context = tls.server_context(REVIEWS)
        context = (lambda _: self.context) if kind == "inbound" else None
        self.listener = Listener(self.sock, kind, lambda: Echo(self.peers), context, limits)
        self._writers: list[asyncio.StreamWriter] = []

    async def connect(self, identity: tls.Identity | None = None) -> End:
        """A client's end, plain or with this identity; closed with the listener."""
        context = tls.client_context(identity) if identity else None
        name = "" if identity else None
        reader, writer = await asyncio.open_connection(
            *self.address, ssl=context, server_hostname=name
        )
        self._writers.append(writer)
        return reader, writer

    def has_seen(self, count: int | None) -> bool:
        """Whether the one undecided connection has shown `count` bytes; None: there is none."""
        return next(iter(self.listener._sniffing._seen.values()), None) == count

    def handshakes(self) -> int:
        """How many handshakes are under way."""
        return self.listener._handshakes

    async def close(self) -> None:
        """Closes both sides; all that was accepted goes."""
        for writer in self._writers:
            writer.close()
        self.listener.close()
        await until(lambda: self.listener.open == 0)


@asynccontextmanager
async def served(kind: Kind, limits: Limits | None = None) -> AsyncIterator[Served]:
    serving = Served(kind, limits or Limits())
    serving.listener.start()
    try:
        yield serving
    finally:
        await serving.close()


async def closed_without_a_byte(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds: float = 5.0
) -> None:
    try:
        async with asyncio.timeout(seconds):
            assert await reader.read() == b""
    except ConnectionResetError:
        pass


async def echoes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"hello")
    async with asyncio.timeout(5):
        assert await reader.readexactly(5) == b"hello"


def test_a_plain_kind_serves_and_counts_what_is_open(run: Run) -> None:
    async def scenario() -> None:
        async with served("gateway") as serving:
            ends = [await serving.connect() for _ in range(3)]
            for end in ends:
                await echoes(*end)
            assert serving.listener.open == 3
            assert serving.peers == [None] * 3
            for _, writer in ends:
                writer.close()
            await until(lambda: serving.listener.open == 0)
            assert serving.listener.accepted == 3

    run(scenario())


def test_inbound_lets_a_peer_of_the_mesh_in(run: Run) -> None:
    async def scenario() -> None:
        async with served("inbound") as serving:
            reader, writer = await serving.connect(PAGE)
            await echoes(reader, writer)
            assert tls.peer_spiffe_id(writer.transport) == spiffe("reviews")
            assert serving.peers == [spiffe("productpage")]
            writer.close()
            await until(lambda: serving.listener.open == 0)

    run(scenario())


@pytest.mark.parametrize("sent", [b"GET / HTTP/1.1\r\nHost: reviews\r\n\r\n", b"\x16\x03\x03\x00"])
def test_inbound_closes_what_is_not_tls_without_a_byte(run: Run, sent: bytes) -> None:
    async def scenario() -> None:
        async with served("inbound", Limits(sniff_seconds=0.2)) as serving:
            reader, writer = await serving.connect()
            writer.write(sent)
            await closed_without_a_byte(reader, writer)
            assert serving.peers == []
            await until(lambda: serving.listener.open == 0)

    run(scenario())


def test_a_hello_that_comes_byte_by_byte_is_let_in(run: Run) -> None:
    async def scenario() -> None:
        async with served("inbound") as serving:
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            end = tls.client_context(PAGE).wrap_bio(incoming, outgoing)
            with pytest.raises(ssl.SSLWantReadError):
                end.do_handshake()
            reader, writer = await serving.connect()
            hello = outgoing.read()
            for at in range(8):
                writer.write(hello[at : at + 1])
                shown = at + 1 if at < 5 else None  # the sixth decides
                await until(partial(serving.has_seen, shown))
            writer.write(hello[8:])
            while not serving.peers:
                try:
                    end.do_handshake()
                    writer.write(outgoing.read())
                    await until(lambda: bool(serving.peers))
                except ssl.SSLWantReadError:
                    writer.write(outgoing.read())
                    incoming.write(await asyncio.wait_for(reader.read(65_536), 5))
            assert serving.peers == [spiffe("productpage")]
            writer.close()

    run(scenario())


def test_one_byte_and_then_the_end_is_forgotten_at_once(run: Run) -> None:
    async def scenario() -> None:
        async with served("inbound") as serving:
            _, writer = await serving.connect()
            writer.write(b"\x16")
            await until(partial(serving.has_seen, 1))
            writer.close()
            await until(lambda: serving.listener.open == 0)

    run(scenario())


def test_with_too_many_undecided_the_oldest_goes(run: Run) -> None:
    async def scenario() -> None:
        async with served("inbound", Limits(undecided=2)) as serving:
            first = await serving.connect()
            await until(lambda: serving.listener.accepted == 1)
            for _ in range(2):
                await serving.connect()
            await closed_without_a_byte(*first, seconds=2)
            await echoes(*await serving.connect(PAGE))

    run(scenario())


async def refused(serving: Served, attempt: Callable[[], Awaitable[object]]) -> None:
    try:
        async with asyncio.timeout(5):
            await attempt()
    except OSError:
        pass
    await until(lambda: serving.listener.accepted > 0 and serving.listener.open == 0)
    assert serving.peers == []


def test_another_root_and_no_certificate_are_refused(run: Run) -> None:
    async def exchange(address: tuple[str, int], context: ssl.SSLContext) -> None:
        reader, writer = await asyncio.open_connection(*address, ssl=context, server_hostname="")
        try:
            assert await reader.read() == b""
        finally:
            writer.close()

    async def scenario() -> None:
        foreign = MeshRoot().identity("productpage")
        forged = tls.Identity.from_pem(foreign.key_pem, foreign.chain_pem, MESH.roots_pem)
        bare = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        bare.check_hostname = False
        bare.load_verify_locations(cadata=MESH.roots_pem.decode())
        for context in (tls.client_context(forged), bare):
            async with served("inbound") as serving:
                await refused(serving, partial(exchange, serving.address, context))

    run(scenario())


def test_a_handshake_that_stalls_ends(run: Run) -> None:
    async def scenario() -> None:
        async with served("inbound", Limits(handshake_seconds=0.2)) as serving:
            reader, writer = await serving.connect()
            writer.write(b"\x16\x03\x01\x02\x00\x01")
            await closed_without_a_byte(reader, writer)
            await until(lambda: serving.listener.open == 0)

    run(scenario())


def test_handshakes_under_way_are_bounded_and_the_rest_wait(run: Run) -> None:
    async def scenario() -> None:
        limits = Limits(handshakes=2, handshake_seconds=0.5)
        async with served("inbound", limits) as serving:
            stalled = [await serving.connect() for _ in range(2)]
            for _, writer in stalled:
                writer.write(b"\x16\x03\x01\x02\x00\x01")
            await until(lambda: serving.handshakes() == 2)
            late = asyncio.create_task(serving.connect(PAGE))
            await asyncio.sleep(0.1)  # nothing happens, and nothing else says so
            assert serving.listener.accepted == 2 and not late.done()
            await echoes(*await asyncio.wait_for(late, 5))

    run(scenario())


def test_a_new_context_holds_from_the_next_handshake_on(run: Run) -> None:
    async def scenario() -> None:
        async with served("inbound") as serving:
            old = await serving.connect(PAGE)
            serving.context = tls.server_context(MESH.identity("ratings"))
            new = await serving.connect(PAGE)
            for end, account in ((old, "reviews"), (new, "ratings")):
                await echoes(*end)
                assert tls.peer_spiffe_id(end[1].transport) == spiffe(account)

    run(scenario())


def test_open_connections_are_bounded_and_the_rest_wait(run: Run) -> None:
    async def scenario() -> None:
        async with served("gateway", Limits(open=2)) as serving:
            ends = [await serving.connect() for _ in range(3)]
            for end in ends[:2]:
                await echoes(*end)
            await asyncio.sleep(0.05)  # nothing happens, and nothing else says so
            assert serving.listener.accepted == 2
            ends[0][1].close()
            await echoes(*ends[2])

    run(scenario())


def test_stop_takes_what_is_queued_and_what_was_taken_goes_on(run: Run) -> None:
    async def scenario() -> None:
        async with served("gateway") as serving:
            before = await serving.connect()
            await echoes(*before)
            # Connected in one go: the loop has had no turn to accept it.
            queued = socket.create_connection(serving.address)
            serving.listener.stop_accepting()
            assert serving.listener.accepted == 2
            await serving.connect()  # waits in the queue for another member
            await echoes(*before)
            queued.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_sendall(queued, b"x")
            assert await asyncio.wait_for(loop.sock_recv(queued, 1), 5) == b"x"
            assert serving.listener.accepted == 2
            queued.close()

    run(scenario())


def test_who_comes_after_turning_away_is_closed_at_once(run: Run) -> None:
    async def scenario() -> None:
        async with served("gateway") as serving:
            before = await serving.connect()
            await echoes(*before)
            serving.listener.turn_away()
            reader, _ = await serving.connect()
            with suppress(ConnectionResetError):
                assert await asyncio.wait_for(reader.read(), 5) == b""
            await echoes(*before)

    run(scenario())


def test_a_socket_that_the_holder_takes_away_ends_the_listener_quietly(run: Run) -> None:
    async def scenario() -> None:
        async with served("gateway") as serving:
            await echoes(*await serving.connect())
            holders_copy = serving.sock.dup()
            holders_copy.shutdown(socket.SHUT_RD)
            holders_copy.close()
            with pytest.raises(ConnectionRefusedError):
                await serving.connect()

    run(scenario())


def test_close_ends_handshakes_and_undecided(run: Run) -> None:
    async def scenario() -> None:
        async with served("inbound") as serving:
            undecided, shaking = await serving.connect(), await serving.connect()
            shaking[1].write(b"\x16\x03\x01\x02\x00\x01")
            await until(lambda: serving.handshakes() == 1)
            serving.listener.close()
            await closed_without_a_byte(*undecided)
            await closed_without_a_byte(*shaking)

    run(scenario())


class OutOfDescriptors:
    """A listening socket whose first accepts fail, as they do without a free descriptor."""

    def __init__(self, sock: socket.socket, failures: int) -> None:
        self._sock, self._failures = sock, failures

    def accept(self) -> tuple[socket.socket, object]:
        if self._failures:
            self._failures -= 1
            raise OSError(errno.EMFILE, "Too many open files")
        return self._sock.accept()

    def __getattr__(self, name: str) -> object:
        return getattr(self._sock, name)


def test_out_of_descriptors_it_tries_again_later(run: Run) -> None:
    async def scenario() -> None:
        sock = open_listening("127.0.0.1", 0)
        peers: list[str | None] = []
        failing = OutOfDescriptors(sock, failures=2)
        limits = Limits(retry_seconds=0.02)
        listener = Listener(failing, "gateway", lambda: Echo(peers), None, limits)  # type: ignore[arg-type]
        listener.start()
        reader, writer = await asyncio.open_connection(*sock.getsockname())
        await echoes(reader, writer)
        writer.close()
        await until(lambda: listener.open == 0)
        listener.close()

    run(scenario())
