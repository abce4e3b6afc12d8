"""Connections of an endpoint: made, waited for, kept, given back, retired."""

import asyncio
import ssl

import pytest

from tests.support.awaiting import until
from tests.support.fake_loop import FakeTransport, ManualLoop
from tulle.actors.proxy import pool
from tulle.actors.proxy.pool import Endpoint, IdentityRefused
from tulle.actors.proxy.upstream import UpstreamConnection
from tulle.actors.proxy.wheel import Wheel
from tulle.policies.reasons import (
    CONNECT_FAILED,
    CONNECT_TIMEOUT,
    IDENTITY_REFUSED,
    Reason,
)


class Dialer:
    """Each dial ends as `outcomes` says: connected when there is none."""

    def __init__(self, *outcomes: Exception) -> None:
        self.generation = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self._outcomes = list(outcomes)

    async def __call__(self, endpoint: Endpoint) -> UpstreamConnection:
        upstream = UpstreamConnection(endpoint, self.generation)
        await self.gate.wait()
        if self._outcomes:
            raise self._outcomes.pop(0)
        FakeTransport(upstream)
        return upstream


class Waiter:
    def __init__(self) -> None:
        self.got: UpstreamConnection | Reason | None = None

    def connected(self, upstream: UpstreamConnection) -> None:
        self.got = upstream

    def connect_failed(self, reason: Reason) -> None:
        self.got = reason


class Pool:
    """An endpoint on a manual loop; connecting runs on the test's loop."""

    def __init__(self, *outcomes: Exception, connect_seconds: float = 5) -> None:
        self.loop = ManualLoop()
        self.dialer = Dialer(*outcomes)
        self.endpoint = Endpoint(
            "a", 80, self.dialer, Wheel(self.loop), connect_seconds=connect_seconds
        )

    async def connection(self) -> UpstreamConnection:
        waiter = Waiter()
        assert self.endpoint.wait(waiter)
        await until(lambda: waiter.got is not None)
        assert isinstance(waiter.got, UpstreamConnection)
        return waiter.got


def transport(upstream: UpstreamConnection) -> FakeTransport:
    assert isinstance(upstream.transport, FakeTransport)
    return upstream.transport


pytestmark = pytest.mark.asyncio


async def test_a_connection_is_made_kept_and_taken_again() -> None:
    it = Pool()
    upstream = await it.connection()
    upstream.let_go(keep=True)
    assert it.endpoint.idle == [upstream]
    assert upstream.reused


async def test_the_one_used_last_is_taken_first() -> None:
    it = Pool()
    one, two = await it.connection(), await it.connection()
    one.let_go(keep=True)
    two.let_go(keep=True)
    assert it.endpoint.idle.pop() is two


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ConnectionRefusedError(), CONNECT_FAILED),
        (OSError(113, "no route"), CONNECT_FAILED),
        (ssl.SSLError("handshake"), CONNECT_FAILED),
        (ssl.SSLCertVerificationError("who are you"), IDENTITY_REFUSED),
        (IdentityRefused("not yours"), IDENTITY_REFUSED),
        (TimeoutError(), CONNECT_TIMEOUT),
    ],
)
async def test_why_there_is_no_connection(error: Exception, reason: Reason) -> None:
    it, waiter = Pool(error), Waiter()
    it.endpoint.wait(waiter)
    await until(lambda: waiter.got is not None)
    assert waiter.got is reason


async def test_a_connection_that_its_server_closed_at_once_is_none() -> None:
    it, waiter = Pool(), Waiter()

    class Closing(Dialer):
        async def __call__(self, endpoint: Endpoint) -> UpstreamConnection:
            upstream = await super().__call__(endpoint)
            transport(upstream).lose(ConnectionResetError())
            return upstream

    it.endpoint._dial = Closing()
    it.endpoint.wait(waiter)
    await until(lambda: waiter.got is not None)
    assert waiter.got is CONNECT_FAILED
    assert it.endpoint.idle == []


async def test_connecting_has_a_time_limit() -> None:
    it, waiter = Pool(connect_seconds=0.01), Waiter()
    it.dialer.gate.clear()
    it.endpoint.wait(waiter)
    await until(lambda: waiter.got is not None)
    assert waiter.got is CONNECT_TIMEOUT


async def test_who_waits_longest_gets_what_is_free_first() -> None:
    it, first, second = Pool(), Waiter(), Waiter()
    busy = await it.connection()
    it.dialer.gate.clear()
    it.endpoint.wait(first)
    it.endpoint.wait(second)
    busy.let_go(keep=True)
    assert first.got is busy
    it.dialer.gate.set()
    await until(lambda: second.got is not None)
    await until(lambda: len(it.endpoint.idle) == 1)


async def test_who_waits_no_longer_gets_nothing() -> None:
    it, waiter = Pool(), Waiter()
    it.endpoint.wait(waiter)
    it.endpoint.forget(waiter)
    await until(lambda: len(it.endpoint.idle) == 1)
    assert waiter.got is None


async def test_connections_being_made_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "CONNECTING_LIMIT", 2)
    it = Pool()
    assert it.endpoint.wait(Waiter())
    assert it.endpoint.wait(Waiter())
    assert not it.endpoint.wait(Waiter())
    await until(lambda: it.endpoint.wait(Waiter()))


async def test_idle_connections_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "IDLE_LIMIT", 1)
    it = Pool()
    one, two = await it.connection(), await it.connection()
    one.let_go(keep=True)
    two.let_go(keep=True)
    assert it.endpoint.idle == [one]
    assert transport(two).ended == "closed"


async def test_idle_connections_are_closed_in_time() -> None:
    it = Pool()
    upstream = await it.connection()
    upstream.let_go(keep=True)
    it.loop.advance(59)
    assert it.endpoint.idle.pop() is upstream
    upstream.let_go(keep=True)
    it.loop.advance(59)
    assert not transport(upstream).ended
    it.loop.advance(2)
    assert transport(upstream).ended == "closed"
    assert it.endpoint.idle == []


async def test_an_idle_connection_that_its_server_closes_is_forgotten() -> None:
    it = Pool()
    upstream = await it.connection()
    upstream.let_go(keep=True)
    transport(upstream).lose()
    assert it.endpoint.idle == []


async def test_bytes_that_nobody_asked_for_end_a_connection() -> None:
    it = Pool()
    upstream = await it.connection()
    upstream.let_go(keep=True)
    upstream.data_received(b"HTTP/1.1 200 OK\r\n\r\n")
    assert it.endpoint.idle == []
    assert transport(upstream).ended == "aborted"


async def test_a_retired_endpoint_keeps_no_connection_and_serves_who_waits() -> None:
    it, waiter = Pool(), Waiter()
    idle, busy = await it.connection(), await it.connection()
    idle.let_go(keep=True)
    it.endpoint.wait(waiter)
    it.endpoint.retire()
    assert transport(idle).ended == "closed"
    busy.let_go(keep=True)
    assert transport(busy).ended == "closed"
    await until(lambda: isinstance(waiter.got, UpstreamConnection))


async def test_connections_of_an_old_identity_end_with_their_request() -> None:
    it = Pool()
    idle, busy = await it.connection(), await it.connection()
    idle.let_go(keep=True)
    it.dialer.generation = 1
    it.endpoint.renew()
    assert transport(idle).ended == "closed"
    assert not transport(busy).ended
    busy.let_go(keep=True)
    assert transport(busy).ended == "closed"
    fresh = await it.connection()
    fresh.let_go(keep=True)
    assert it.endpoint.idle == [fresh]


async def test_after_accounts_changed_no_earlier_connection_serves_again() -> None:
    it = Pool()
    busy = await it.connection()
    it.endpoint.renew()  # as the book does; the identity of this proxy is the same
    busy.let_go(keep=True)
    assert transport(busy).ended == "closed"
    assert it.endpoint.idle == []
