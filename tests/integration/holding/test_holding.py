"""A holder and its proxies: sockets passed, states, commands, deaths, refusals."""

import asyncio
import os
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio

from tests.support.awaiting import until
from tulle.actors.holding import steering
from tulle.actors.holding.client import HolderClient, ListenRefused
from tulle.actors.holding.group import PortError
from tulle.actors.holding.holder import Holder
from tulle.actors.holding.sockets import Patience

LOOPBACK = "127.0.0.1"


@pytest.fixture
def path() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="tulle-", dir="/tmp") as folder:
        yield f"{folder}/holder.sock"


class Events:
    """What the holder told its owner, in order."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, ...]] = []
        self._more = asyncio.Event()

    def note(self, *event: str) -> None:
        self.seen.append(event)
        self._more.set()

    async def wait_for(self, *event: str) -> None:
        async with asyncio.timeout(5):
            while event not in self.seen:
                self._more.clear()
                await self._more.wait()


def bind(proxy: str, pool: str, name: str) -> tuple[str, int]:
    kind, _, port = name.partition(":")
    if kind not in ("outbound", "inbound", "gateway", "http"):
        raise ValueError("no such kind of socket")
    return LOOPBACK, int(port) if kind == "gateway" and port else 0


@asynccontextmanager
async def holding(path: str, events: Events) -> AsyncIterator[Holder]:
    holder = Holder(
        path,
        bind,
        on_hello=lambda proxy, pool: events.note("hello", proxy, pool),
        on_state=lambda proxy, state, detail: events.note("state", proxy, state, detail),
        on_lost=lambda proxy: events.note("lost", proxy),
        patience=Patience(absence=0.3),
    )
    await holder.start()
    try:
        yield holder
    finally:
        await holder.close()


@pytest_asyncio.fixture
async def events() -> Events:
    return Events()


@pytest_asyncio.fixture
async def holder(path: str, events: Events) -> AsyncIterator[Holder]:
    async with holding(path, events) as running:
        yield running


async def connect(path: str, proxy: str, pool: str = "") -> HolderClient:
    async def command(name: str) -> None:
        pass

    return await HolderClient.connect(path, proxy, pool, command, lambda: None, 5)


async def ask(address: tuple[str, int], request: bytes = b"GET / HTTP/1.1\r\n\r\n") -> bytes:
    reader, writer = await asyncio.open_connection(*address)
    try:
        writer.write(request)
        async with asyncio.timeout(5):
            return await reader.read()
    finally:
        writer.close()


@pytest.mark.asyncio
async def test_the_socket_file_is_private(holder: Holder, path: str) -> None:
    assert os.stat(path).st_mode & 0o777 == 0o600


@pytest.mark.asyncio
async def test_a_proxy_gets_listening_sockets_and_says_its_state(
    holder: Holder, path: str, events: Events
) -> None:
    client = await connect(path, "reviews-1")
    inbound, outbound = await client.listen("inbound:9080"), await client.listen("outbound")
    client.tell("ready", "at revision 7")
    assert await holder.wait_state("reviews-1", "ready", 5) == "at revision 7"
    assert holder.addresses("reviews-1") == {
        "inbound:9080": inbound.getsockname(),
        "outbound": outbound.getsockname(),
    }
    assert not inbound.getblocking()
    assert not os.get_inheritable(inbound.fileno())
    client.close()
    await events.wait_for("lost", "reviews-1")
    assert events.seen == [
        ("hello", "reviews-1", ""),
        ("state", "reviews-1", "ready", "at revision 7"),
        ("lost", "reviews-1"),
    ]
    inbound.close()
    outbound.close()


@pytest.mark.asyncio
async def test_a_state_that_never_comes_is_an_error_with_the_last_one(
    holder: Holder, path: str
) -> None:
    with pytest.raises(TimeoutError, match="it is not there"):
        await holder.wait_state("p", "ready", 0.01)
    client = await connect(path, "p")
    client.tell("starting", "waits for a certificate")
    await holder.wait_state("p", "starting", 5)
    with pytest.raises(TimeoutError, match="waits for a certificate"):
        await holder.wait_state("p", "ready", 0.01)
    client.close()


@pytest.mark.asyncio
async def test_commands_are_done_when_the_proxy_says_so(
    holder: Holder, path: str, events: Events
) -> None:
    asked: list[str] = []
    go = asyncio.Event()

    async def command(name: str) -> None:
        asked.append(name)
        if name == "stop":
            await go.wait()

    client = await HolderClient.connect(path, "p", "", command, lambda: None, 5)
    await events.wait_for("hello", "p", "")
    await holder.command("p", "drain_inbound", 5)
    with pytest.raises(TimeoutError, match="stop not done"):
        await holder.command("p", "stop", 0.05)
    pending = asyncio.create_task(holder.command("p", "stop", 5))
    await asyncio.sleep(0)
    client.close()
    with pytest.raises(ConnectionError):
        await pending
    with pytest.raises(ConnectionError, match="not connected"):
        await holder.command("p", "stop", 1)
    assert asked[:2] == ["drain_inbound", "stop"]


@pytest.mark.asyncio
async def test_each_notices_the_others_end(path: str, events: Events) -> None:
    lost = asyncio.Event()

    async def command(name: str) -> None:
        pass

    async with holding(path, events):
        client = await HolderClient.connect(path, "p", "", command, lost.set, 5)
        await events.wait_for("hello", "p", "")
    await asyncio.wait_for(lost.wait(), 5)
    with pytest.raises(ConnectionError):
        await client.listen("outbound")
    with pytest.raises(FileNotFoundError):
        os.stat(path)


@pytest.mark.asyncio
async def test_a_port_in_use_and_an_unknown_name_are_refused_in_a_sentence(
    holder: Holder, path: str
) -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind((LOOPBACK, 0))
        other.listen()
        port = other.getsockname()[1]
        client = await connect(path, "g-1", "ingress")
        with pytest.raises(ListenRefused, match=f"port {port}: in use by another process"):
            await client.listen(f"gateway:{port}")
    # Free now: the same question is answered.
    (await client.listen(f"gateway:{port}")).close()
    with pytest.raises(ListenRefused, match="no such kind"):
        await client.listen("sideways")
    second = await connect(path, "e-1", "egress")
    with pytest.raises(ListenRefused, match=f"in use by gateway:{port} of ingress"):
        await second.listen(f"gateway:{port}")
    client.close()
    second.close()


@pytest.mark.asyncio
async def test_members_of_a_pool_share_the_port_first_chosen(holder: Holder, path: str) -> None:
    clients = [await connect(path, f"g-{i}", "ingress") for i in range(3)]
    socks = [await client.listen("gateway") for client in clients]
    assert len({sock.getsockname() for sock in socks}) == 1
    for client, sock in zip(clients, socks, strict=True):
        await client.retire()
        client.close()
        sock.close()
    assert holder.addresses("ingress") == {}
    again = await connect(path, "g-9", "ingress")
    sock = await again.listen("gateway")
    assert holder.addresses("ingress") == {"gateway": socks_address(sock)}
    again.close()
    sock.close()


def socks_address(sock: socket.socket) -> tuple[str, int]:
    host, port = sock.getsockname()
    return host, port


@pytest.mark.asyncio
async def test_reserved_sockets_go_to_the_first_proxy(holder: Holder, path: str) -> None:
    outbound = holder.reserve("outbound")
    assert holder.reserve("outbound") == outbound
    with pytest.raises(PortError, match="no such kind"):
        holder.reserve("sideways")
    client = await connect(path, "p-1")
    sock = await client.listen("outbound")
    assert sock.getsockname() == outbound == holder.addresses("p-1")["outbound"]
    client.close()
    sock.close()


@pytest.mark.asyncio
async def test_each_reserved_socket_goes_to_who_asks_for_it(holder: Holder, path: str) -> None:
    outbound, inbound = holder.reserve("outbound"), holder.reserve("inbound:80")
    one, other = await connect(path, "p-1"), await connect(path, "p-2")
    socks = await one.listen("outbound"), await other.listen("inbound:80")

    assert [sock.getsockname() for sock in socks] == [outbound, inbound]
    assert holder.addresses("p-1") == {"outbound": outbound}
    assert holder.addresses("p-2") == {"inbound:80": inbound}
    for end in (one, other, *socks):
        end.close()


@pytest.mark.asyncio
async def test_connections_wait_for_a_proxy_and_then_the_holder_answers(
    holder: Holder, path: str, events: Events
) -> None:
    client = await connect(path, "p")
    outbound, inbound = await client.listen("outbound"), await client.listen("inbound:80")
    waiting = asyncio.create_task(ask(outbound.getsockname()))
    client.close()
    answer = await waiting
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"x-tulle-reason: proxy_down\r\n" in answer
    with socket.socket() as plain:
        plain.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(plain, inbound.getsockname())
        assert await asyncio.wait_for(loop.sock_recv(plain, 1), 5) == b""
    outbound.close()
    inbound.close()


@pytest.mark.asyncio
async def test_the_holder_stops_answering_when_a_proxy_is_back(holder: Holder, path: str) -> None:
    address = holder.reserve("outbound")
    assert b"503" in await ask(address)
    client = await connect(path, "p")
    sock = await client.listen("outbound")
    connection = asyncio.create_task(ask(address))
    loop = asyncio.get_running_loop()
    taken, _ = await asyncio.wait_for(loop.sock_accept(sock), 5)
    await loop.sock_recv(taken, 100)
    taken.sendall(b"mine")
    taken.close()
    assert await connection == b"mine"
    client.close()
    sock.close()


@pytest.mark.asyncio
async def test_the_newest_process_of_an_id_is_the_proxy(
    holder: Holder, path: str, events: Events
) -> None:
    lost = asyncio.Event()

    async def command(name: str) -> None:
        pass

    first = await HolderClient.connect(path, "p", "", command, lost.set, 5)
    kept = await first.listen("outbound")
    second = await connect(path, "p")
    sock = await second.listen("outbound")
    await asyncio.wait_for(lost.wait(), 5)
    assert sock.getsockname() == kept.getsockname()
    assert ("lost", "p") not in events.seen
    second.close()
    sock.close()
    kept.close()


@pytest.mark.asyncio
@pytest.mark.parametrize("line", [b"hello\n", b'{"op":"retire","id":1}\n', b"x" * 70_000])
async def test_who_breaks_the_rules_is_closed(holder: Holder, path: str, line: bytes) -> None:
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(line)
    try:
        async with asyncio.timeout(5):
            assert await reader.read() == b""
    except ConnectionResetError:
        pass
    writer.close()


@pytest.mark.asyncio
async def test_new_connections_pass_by_members_that_died_or_retire(
    holder: Holder, path: str, events: Events
) -> None:
    clients = [await connect(path, f"g-{i}", "ingress") for i in range(3)]
    socks = [await client.listen("gateway") for client in clients]
    clients[0].close()
    await events.wait_for("lost", "g-0")
    retiring = asyncio.create_task(clients[1].retire())
    await asyncio.sleep(0.05)  # of the 0.2 s that it takes
    ends = [await asyncio.open_connection(*socks[2].getsockname()) for _ in range(30)]
    assert [steering.queued(sock) for sock in socks] == [0, 0, 30]
    await retiring
    for _, writer in ends:
        writer.close()
    for sock in socks:
        sock.close()
    for client in clients[1:]:
        client.close()


@pytest.mark.asyncio
async def test_a_proxy_lost_while_draining_is_not_awaited(
    holder: Holder, path: str, events: Events
) -> None:
    client = await connect(path, "p")
    sock = await client.listen("outbound")
    client.tell("draining")
    await holder.wait_state("p", "draining", 5)
    queued = asyncio.create_task(ask(sock.getsockname()))
    client.close()
    assert b"proxy_down" in await queued
    await until(lambda: holder.addresses("p") == {})
    with pytest.raises(ConnectionRefusedError):
        await ask(sock.getsockname())
    sock.close()
