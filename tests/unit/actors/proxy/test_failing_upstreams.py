"""Any schedule of failures: each request gets one whole response, and nothing stays counted."""

from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.bench_plane import HandLimitedEndpoint, LimitedBench
from tests.support.fake_loop import FakeTransport
from tests.support.wire_sinks import Requests, Responses
from tulle.actors.proxy.upstream import UpstreamConnection
from tulle.policies.config import ConnectionLimits
from tulle.policies.decide.plan import DEFAULT_RETRY, NO_RETRY, Plan, Retry
from tulle.policies.reasons import CONNECT_FAILED, CONNECT_TIMEOUT

RETRIES = [
    Retry(2, per_try=2.0, statuses=frozenset({503})),
    Retry(5, statuses=frozenset({503}), idempotent_only=True),
    DEFAULT_RETRY,
    NO_RETRY,
]
LIMITS = [
    ConnectionLimits(
        max_connections=3,
        max_pending_requests=4,
        max_requests=5,
        max_requests_per_connection=3,
        max_retries=2,
    ),
    ConnectionLimits(max_connections=1),
    ConnectionLimits(max_requests=2, max_requests_per_connection=1),
    ConnectionLimits(),
]
METHODS = [b"GET", b"PUT", b"POST"]
CLIENTS = 6


class Storm:
    """Clients that ask, upstreams that answer, stumble and fall, in an order that is drawn."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        retry = self.random.choice(RETRIES)
        self.bench = LimitedBench(self.random.choice(LIMITS), endpoints=3)
        self.bench.choose(retry, Plan(delay=1.0, delay_share=0.1), 20_000)
        self.clients = [self.bench.another_client() for _ in range(CLIENTS)]
        self.asked = [b""] * CLIENTS  # the name of the request under way
        self.transports: list[FakeTransport] = []
        self.begun: dict[FakeTransport, bytes] = {}  # the rest of an answer that was begun
        self.answers = 0

    def step(self) -> None:
        """Something happens."""
        self.bench.uniform = self.random.random()
        actions: list[Callable[[], None]] = [
            self.ask, self.ask, self.connect, self.connect, self.answer, self.answer, self.answer,
            self.begin, self.fail, self.reset, self.wait, self.leave,
        ]  # fmt: skip
        self.random.choice(actions)()
        self.bench.loop.turn()
        for n in range(CLIENTS):
            self.look(n)

    def ask(self) -> None:
        n = self.random.randrange(CLIENTS)
        connection, transport = self.clients[n]
        if self.asked[n] or transport.is_closing():
            return
        name = self.asked[n] = b"%d-%d" % (n, self.random.randrange(1_000_000))
        method = self.random.choice(METHODS)
        head, body = b"%b /%b HTTP/1.1\r\nHost: a\r\n" % (method, name), b"\r\n"
        if method != b"GET":
            head += self.random.choice(
                [b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n"]
            )
            body = b"\r\n5\r\nhello\r\n0\r\n\r\n" if b"chunked" in head else b"\r\nhello"
        cut = self.random.randrange(2, len(body) + 1)
        connection.data_received(head + body[:cut])
        if body[cut:] and not transport.is_closing():
            connection.data_received(body[cut:])

    def connect(self) -> None:
        endpoint = self._dialling()
        if endpoint is not None:
            self.transports.append(endpoint.connect())

    def fail(self) -> None:
        endpoint = self._dialling()
        if endpoint is not None:
            endpoint.fail(self.random.choice([CONNECT_FAILED, CONNECT_TIMEOUT]))

    def answer(self) -> None:
        transport = self._busy()
        if transport is not None:
            data = self.begun.pop(transport, None) or self._response(transport)
            transport.protocol.data_received(data)

    def begin(self) -> None:
        transport = self._busy()
        if transport is not None and transport not in self.begun:
            data = self._response(transport)
            cut = self.random.randrange(1, len(data))
            self.begun[transport] = data[cut:]
            transport.protocol.data_received(data[:cut])

    def reset(self) -> None:
        transport = self._busy()
        if transport is not None:
            self.begun.pop(transport, None)
            transport.lose(self.random.choice([None, ConnectionResetError()]))

    def wait(self) -> None:
        self.bench.loop.advance(self.random.choice([0.1, 0.1, 1.0, 2.5]))

    def leave(self) -> None:
        n = self.random.randrange(CLIENTS)
        if self.random.random() < 0.3 and not self.clients[n][1].is_closing():
            self.clients[n][1].lose(ConnectionResetError())
            self.renew(n)

    def renew(self, n: int) -> None:
        self.clients[n] = self.bench.another_client()
        self.asked[n] = b""

    def look(self, n: int) -> None:
        """What a client got is one whole response to its request, or the beginning of one."""
        _, transport = self.clients[n]
        got = b"".join(transport.written)
        if got:
            assert self.asked[n], "an answer that nobody asked for"
            seen = Responses().feed(got)
            assert seen.flaw is None
            assert not seen.ended or seen.reader.is_idle(), "more than one response"
            if b"x-tulle-reason" not in got:
                whole = b"200 " + self.asked[n] + b";" if b" 200 " in got else b"503 busy;"
                assert (whole * 9).startswith(seen.body)
            if seen.ended:
                transport.take()
                self.asked[n] = b""
                self.answers += 1
        if transport.is_closing():
            self.renew(n)

    def finish(self) -> None:
        """Time passes until every request is over."""
        for _ in range(60):
            self.bench.loop.advance(1)
            for n in range(CLIENTS):
                self.look(n)
        assert not any(self.asked)
        for endpoint in self.bench.limited:
            while endpoint.dials:
                self.transports.append(endpoint.connect())
        self.bench.loop.turn()
        self.bench.idle()
        assert all(it.active == it.waiting == 0 for it in self.bench.limited)
        alive = [it for it in self.transports if not it.is_closing()]
        assert self.bench.limits.connections == len(alive)
        assert self.bench.limits.stalled == {}
        for transport in self.transports:
            seen = Requests().feed(b"".join(transport.written))
            assert seen.refused is None
            bodies = seen.bodies if seen.ended == len(seen.heads) else seen.bodies[:-1]
            for head, body in zip(seen.heads, bodies, strict=False):
                assert body == (b"hello" if head.length else b"")

    def _dialling(self) -> HandLimitedEndpoint | None:
        dialling = [it for it in self.bench.limited if it.dials]
        return self.random.choice(dialling) if dialling else None

    def _busy(self) -> FakeTransport | None:
        busy = [it for it in self.transports if _upstream(it).exchange and it.written]
        return self.random.choice(busy) if busy else None

    def _response(self, transport: FakeTransport) -> bytes:
        """To the request that came last: its name in each piece of the body, or a 503."""
        name = b"".join(transport.written).rpartition(b" HTTP/1.1\r\n")[0].rpartition(b"/")[2]
        body = (b"200 " + name + b";") * 9
        status = b"200 OK"
        if self.random.random() < 0.3:
            status, body = b"503 Service Unavailable", b"503 busy;" * 9
        framing = b"Content-Length: %d\r\n\r\n" % len(body)
        return b"HTTP/1.1 " + status + b"\r\n" + framing + body


def _upstream(transport: FakeTransport) -> UpstreamConnection:
    assert isinstance(transport.protocol, UpstreamConnection)
    return transport.protocol


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32))
def test_under_any_failures_a_request_gets_one_response_and_nothing_stays_counted(
    seed: int,
) -> None:
    storm = Storm(seed)
    for _ in range(120):
        storm.step()
    storm.finish()


@pytest.mark.parametrize("seed", range(5))
def test_the_storm_is_one_in_which_requests_are_answered(seed: int) -> None:
    storm = Storm(seed)
    for _ in range(400):
        storm.step()
    storm.finish()
    assert storm.answers > 30
