"""Limits of a cluster: who goes, who waits, who is refused, and that who waits goes on."""

from tests.support.bench_plane import LimitedBench
from tests.support.fake_loop import FakeTransport
from tulle.actors.proxy.client import ClientConnection
from tulle.policies.config import ConnectionLimits
from tulle.policies.decide.plan import NO_RETRY
from tulle.policies.reasons import CONNECT_FAILED

GET = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"
OVERFLOW = b"x-tulle-reason: upstream_overflow"

Asking = tuple[ClientConnection, FakeTransport]


def asking(bench: LimitedBench, count: int) -> list[Asking]:
    """Clients, each with a request under way."""
    clients = [bench.another_client() for _ in range(count)]
    for connection, _ in clients:
        connection.data_received(GET)
    bench.loop.turn()
    return clients


def connect(bench: LimitedBench, endpoint: int = 0) -> FakeTransport:
    transport = bench.limited[endpoint].connect()
    bench.loop.turn()
    return transport


def refused(clients: list[Asking]) -> list[int]:
    return [n for n, (_, client) in enumerate(clients) if OVERFLOW in client.take()]


def answered(clients: list[Asking]) -> list[int]:
    return [n for n, (_, client) in enumerate(clients) if client.take() == ANSWER]


def test_over_the_connections_requests_wait_for_those_that_are_there() -> None:
    bench = LimitedBench(ConnectionLimits(max_connections=1))
    clients = asking(bench, 3)
    assert bench.limited[0].dials == 1
    assert bench.limited[0].waiting == 3
    upstream = connect(bench)
    for n in range(3):
        bench.answer(upstream, OK)
        assert answered(clients) == [n]
    bench.idle()


def test_a_connection_that_is_gone_makes_room_for_another() -> None:
    bench = LimitedBench(ConnectionLimits(max_connections=1), retry=NO_RETRY)
    clients = asking(bench, 2)
    upstream = connect(bench)
    upstream.lose(ConnectionResetError())
    bench.loop.turn()
    assert bench.limited[0].dials == 1
    bench.answer(connect(bench), OK)
    assert answered(clients) == [1]
    bench.idle()


def test_a_dial_that_fails_makes_room_for_another() -> None:
    bench = LimitedBench(ConnectionLimits(max_connections=1), retry=NO_RETRY)
    clients = asking(bench, 3)
    bench.limited[0].fail(CONNECT_FAILED)
    assert bench.limited[0].dials == 1
    bench.answer(connect(bench), OK)
    bench.loop.turn()
    assert answered(clients) == [1]


def test_a_connection_that_closes_elsewhere_makes_room() -> None:
    bench = LimitedBench(ConnectionLimits(max_connections=2), endpoints=2, retry=NO_RETRY)
    # Two at each endpoint: one connection each, the others wait without a dial.
    clients = asking(bench, 4)
    assert [it.dials for it in bench.limited] == [1, 1]
    ups = [connect(bench, 0), connect(bench, 1)]
    bench.limited[0].forget(next(iter(bench.limited[0]._waiters)))
    ups[0].lose(ConnectionResetError())
    bench.loop.turn()
    # The second endpoint's connection is long busy, so its waiter gets a fresh one.
    assert bench.limited[1].dials == 1
    bench.answer(connect(bench, 1), OK)
    assert len(answered(clients)) == 1


def test_an_endpoint_that_lost_its_last_connection_makes_another_for_who_waits() -> None:
    bench = LimitedBench(ConnectionLimits(max_connections=1), endpoints=2, retry=NO_RETRY)
    clients = asking(bench, 4)
    ups = [connect(bench, 0), connect(bench, 1)]
    ups[0].lose(ConnectionResetError())
    bench.loop.turn()
    assert [it.dials for it in bench.limited] == [1, 0]  # though the other's is over the limit
    bench.answer(connect(bench, 0), OK)
    assert len(answered(clients)) == 1


def test_an_endpoint_without_a_connection_may_always_make_one() -> None:
    bench = LimitedBench(ConnectionLimits(max_connections=1), endpoints=3)
    asking(bench, 3)
    assert [it.dials for it in bench.limited] == [1, 1, 1]


def test_over_the_pending_requests_none_waits() -> None:
    bench = LimitedBench(ConnectionLimits(max_connections=1, max_pending_requests=1))
    first = asking(bench, 1)
    upstream = connect(bench)
    others = asking(bench, 3)
    assert refused(others) == [1, 2]
    assert bench.counted() == {("503", "UO"): 2}
    bench.answer(upstream, OK)
    bench.answer(upstream, OK)
    assert answered([*first, others[0]]) == [0, 1]
    bench.idle()


def test_over_the_requests_at_once_none_is_begun() -> None:
    bench = LimitedBench(ConnectionLimits(max_requests=2))
    clients = asking(bench, 2)
    ups = [connect(bench), connect(bench)]
    more = asking(bench, 1)
    assert refused(more) == [0]
    bench.answer(ups[0], OK)
    assert answered(clients) == [0]
    more = asking(bench, 2)
    assert refused(more) == [1]
    for upstream in ups:
        bench.answer(upstream, OK)
    bench.idle()


def test_requests_that_wait_are_not_under_way_until_they_have_a_connection() -> None:
    bench = LimitedBench(ConnectionLimits(max_requests=1))
    clients = asking(bench, 3)
    upstream = connect(bench)
    assert refused(clients) == []
    connect(bench)  # one too many, as in Envoy
    assert refused(clients) == [1, 2]
    bench.answer(upstream, OK)
    assert answered(clients) == [0]
    bench.limited[0].connect()
    bench.idle()


def test_a_client_that_leaves_gives_its_place_back() -> None:
    bench = LimitedBench(ConnectionLimits(max_connections=1, max_pending_requests=1))
    _, (_, waiting) = asking(bench, 1), asking(bench, 1)[0]
    assert OVERFLOW in waiting.take()  # the first still waits for its connection
    bench.limited[0].connect()
    _, gone = asking(bench, 1)[0]
    gone.lose()
    assert refused(asking(bench, 1)) == []
    assert bench.limits.pending == 1


def test_a_connection_has_so_many_requests() -> None:
    bench = LimitedBench(ConnectionLimits(max_requests_per_connection=2))
    asking(bench, 1)
    upstream = connect(bench)
    bench.answer(upstream, OK)
    assert not upstream.is_closing()
    asking(bench, 1)
    bench.answer(upstream, OK)
    assert upstream.ended == "closed"
    bench.idle()
    assert bench.limits.connections == 0


def test_who_waits_for_a_connection_that_has_had_its_share_gets_another() -> None:
    limits = ConnectionLimits(max_connections=1, max_requests_per_connection=1)
    bench = LimitedBench(limits)
    clients = asking(bench, 3)
    for n in range(3):
        bench.answer(connect(bench), OK)
        assert answered(clients) == [n]
    bench.idle()


def test_times_of_the_limits() -> None:
    bench = LimitedBench(ConnectionLimits(connect_timeout_ms=1_500, idle_timeout_ms=3_000))
    (endpoint,) = bench.limited
    assert (endpoint.connect_seconds, endpoint.idle_seconds) == (1.5, 3.0)
    asking(bench, 1)
    upstream = connect(bench)
    bench.answer(upstream, OK)
    bench.loop.advance(2.9)
    assert not upstream.is_closing()
    bench.loop.advance(0.3)
    assert upstream.ended == "closed"
    bench.idle()


def test_limits_that_are_raised_wake_who_waits() -> None:
    bench = LimitedBench(ConnectionLimits(max_connections=1))
    asking(bench, 3)
    bench.limits.replace(ConnectionLimits(max_connections=3))
    assert bench.limited[0].dials == 3
