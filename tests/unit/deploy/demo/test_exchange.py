import asyncio

import pytest

from tulle.deploy.demo.exchange import Answer, Connection, ConnectionLost


class Wire(asyncio.Transport):
    """What the connection wrote, and whether it was closed."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def close(self) -> None:
        self.closed = True


def connected() -> tuple[Connection, Wire]:
    connection, wire = Connection(), Wire()
    connection.connection_made(wire)
    return connection, wire


async def get(connection: Connection, *, last: bool = False) -> "asyncio.Task[Answer]":
    """Starts a request and returns when it is written."""
    asking = asyncio.create_task(connection.get("/page", "shop", {"end-user": "jason"}, last=last))
    await asyncio.sleep(0)
    return asking


@pytest.mark.asyncio
async def test_an_answer_in_pieces_and_the_connection_serves_again() -> None:
    connection, wire = connected()
    for _ in range(2):
        asking = await get(connection)
        for piece in (b"HTTP/1.1 200 OK\r\nX-A: b\r\nCont", b"ent-Length: 5\r\n\r\nhe", b"llo"):
            connection.data_received(piece)
        answer = await asking
        assert (answer.status, answer.headers["x-a"], answer.body) == (200, "b", b"hello")
        assert connection.usable
    assert wire.written.count(b"GET /page HTTP/1.1\r\nhost: shop\r\n") == 2
    assert b"end-user: jason\r\n" in wire.written


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "head", [b"HTTP/1.1 200 OK\r\nconnection: close\r\n", b"HTTP/1.0 200 OK\r\n"]
)
async def test_a_server_that_closes_is_not_asked_again(head: bytes) -> None:
    connection, _ = connected()
    asking = await get(connection)
    connection.data_received(head + b"content-length: 0\r\n\r\n")
    assert (await asking).status == 200
    assert not connection.usable


@pytest.mark.asyncio
async def test_the_last_request_says_so() -> None:
    connection, wire = connected()
    asking = await get(connection, last=True)
    connection.data_received(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
    await asking
    assert b"connection: close\r\n" in wire.written
    assert not connection.usable


@pytest.mark.asyncio
@pytest.mark.parametrize(("received", "before"), [(b"", True), (b"HTTP/1.1 200 OK\r\n", False)])
async def test_a_loss_says_whether_a_byte_of_the_answer_had_come(
    received: bytes, before: bool
) -> None:
    connection, _ = connected()
    asking = await get(connection)
    if received:
        connection.data_received(received)
    connection.connection_lost(None)
    with pytest.raises(ConnectionLost) as lost:
        await asking
    assert lost.value.before_answer is before


@pytest.mark.asyncio
async def test_what_is_not_http_ends_the_connection() -> None:
    connection, wire = connected()
    asking = await get(connection)
    connection.data_received(b"\x15\x03\x03\x00\x02\x02\x46")
    with pytest.raises(ConnectionLost, match="not HTTP"):
        await asking
    assert wire.closed
