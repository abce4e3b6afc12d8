"""The life of a request, on fake transports: waits, retries, time-outs, back-pressure, endings."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.bench_plane import Bench
from tests.support.fake_loop import FakeTransport
from tests.support.wire_sinks import cut
from tulle.actors.proxy.wire.body import ChunkReader
from tulle.policies.reasons import CONNECT_FAILED, CONNECT_TIMEOUT

GET = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n"
CHUNKED = b"PUT /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"
RESET = ConnectionResetError()


def with_connection(bench: Bench) -> FakeTransport:
    """A connection that served before and is idle now."""
    return bench.endpoint.connect()


def test_one_write_per_request_and_per_answer() -> None:
    bench = Bench()
    upstream = with_connection(bench)
    bench.send(POST + b"hello")
    assert len(upstream.written) == 1
    sent = upstream.take()
    assert b"\r\ncontent-length: 5\r\n" in sent
    assert sent.endswith(b"\r\n\r\nhello")
    bench.answer(upstream, OK)
    assert bench.client.written == [ANSWER]
    assert bench.counted() == {("200", "-"): 1}
    assert bench.endpoint.active == 0
    assert len(bench.endpoint.idle) == 1


def test_a_request_waits_for_a_connection_and_its_body_waits_too() -> None:
    bench = Bench()
    bench.send(POST + b"he")
    assert not bench.client.reading
    upstream = bench.endpoint.connect()
    bench.loop.turn()
    assert bench.client.reading
    assert upstream.take().endswith(b"\r\n\r\nhe")
    bench.send(b"llo")
    assert upstream.take() == b"llo"


def test_a_connection_that_gets_free_is_taken_by_who_waits() -> None:
    bench = Bench()
    upstream = with_connection(bench)
    bench.send(GET)
    other, transport = bench.another_client()
    other.data_received(GET)
    assert bench.endpoint.waiting == 1
    bench.answer(upstream, OK)
    assert bench.endpoint.waiting == 0
    bench.answer(upstream, OK)
    assert transport.take() == ANSWER
    assert bench.client.take() == ANSWER
    # The one in the making is idle then.
    bench.endpoint.connect()
    assert len(bench.endpoint.idle) == 2


def test_too_many_wait() -> None:
    bench = Bench()
    bench.endpoint.room = False
    bench.send(GET)
    assert b"x-tulle-reason: pending_overflow" in bench.client.take()
    assert bench.endpoint.active == 0
    assert bench.counted() == {("503", "UO"): 1}


def test_three_endpoints_are_tried() -> None:
    bench = Bench(endpoints=4)
    bench.send(GET)
    for _ in range(3):
        (waiting,) = [endpoint for endpoint in bench.endpoints if endpoint.waiting]
        waiting.fail(CONNECT_TIMEOUT)
    bench.loop.turn()
    assert b"x-tulle-reason: connect_timeout" in bench.client.take()
    assert all(endpoint.active == 0 for endpoint in bench.endpoints)


def test_a_body_follows_to_the_endpoint_that_answers() -> None:
    bench = Bench(endpoints=2)
    bench.send(CHUNKED + b"5\r\nhello\r\n")
    first = next(endpoint for endpoint in bench.endpoints if endpoint.waiting)
    first.fail(CONNECT_FAILED)
    second = next(endpoint for endpoint in bench.endpoints if endpoint.waiting)
    upstream = second.connect()
    bench.loop.turn()
    sent = upstream.take()
    assert b"\r\ntransfer-encoding: chunked\r\n" in sent
    assert sent.endswith(b"\r\n\r\n5\r\nhello\r\n")
    bench.send(b"0\r\n\r\n")
    assert upstream.take() == b"0\r\n\r\n"


@pytest.mark.parametrize("error", [None, RESET])
def test_an_idle_connection_that_was_closed_costs_a_retry(error: Exception | None) -> None:
    bench = Bench()
    upstream = with_connection(bench)
    bench.send(GET)
    upstream.lose(error)
    assert bench.endpoint.waiting == 1
    again = bench.endpoint.connect()
    bench.loop.turn()
    assert again.take().startswith(b"GET /x HTTP/1.1\r\n")
    bench.answer(again, OK)
    assert bench.client.take() == ANSWER
    assert bench.counted() == {("200", "-"): 1}


@pytest.mark.parametrize(
    ("request_", "reused", "part"),
    [
        (GET.replace(b"GET", b"POST"), False, b""),  # may not be done twice
        (GET, True, b"HTTP/1.1 2"),  # it had begun to answer
        (GET.replace(b"GET", b"POST"), True, b""),  # may not be done twice
        (CHUNKED + b"ffff\r\n" + b"a" * 65_535 + b"\r\n", True, b""),  # too much to keep
    ],
)
def test_what_is_not_tried_again(request_: bytes, reused: bool, part: bytes) -> None:
    bench = Bench()
    if reused:
        upstream = with_connection(bench)
        bench.send(request_)
    else:
        bench.send(request_)
        upstream = bench.endpoint.connect()
        bench.loop.turn()
    if part:
        bench.answer(upstream, part)
    upstream.lose(RESET)
    bench.loop.turn()
    assert b"x-tulle-reason: upstream_reset" in bench.client.take()
    assert bench.counted() == {("503", "UC"): 1}
    assert bench.endpoint.active == 0


def test_the_body_of_a_retried_request_is_sent_once() -> None:
    bench = Bench()
    upstream = with_connection(bench)
    bench.send(CHUNKED)
    upstream.lose()
    bench.send(b"1\r\na\r\n0\r\n\r\n")
    again = bench.endpoint.connect()
    bench.loop.turn()
    assert again.take().endswith(b"\r\n\r\n1\r\na\r\n0\r\n\r\n")


def test_a_truncated_answer_resets_the_client() -> None:
    bench = Bench()
    upstream = with_connection(bench)
    bench.send(GET)
    bench.answer(upstream, OK[:-2])
    upstream.lose()
    assert bench.client.ended == "aborted"
    assert bench.counted() == {("200", "UC"): 1}


def test_a_client_that_leaves_frees_what_it_waited_for() -> None:
    bench = Bench()
    bench.send(GET)
    assert bench.endpoint.waiting == 1
    bench.client.lose()
    assert bench.endpoint.waiting == bench.endpoint.active == 0
    assert bench.counted() == {("0", "DC"): 1}


def test_a_client_that_leaves_ends_its_upstream_request() -> None:
    bench = Bench()
    upstream = with_connection(bench)
    bench.send(GET)
    bench.client.lose(RESET)
    assert upstream.ended == "aborted"
    assert bench.endpoint.idle == []


def test_route_timeout() -> None:
    bench = Bench(timeout_ms=1_000)
    upstream = with_connection(bench)
    bench.send(GET)
    bench.loop.advance(0.99)
    assert not bench.client.written
    bench.loop.advance(0.12)
    assert b"x-tulle-reason: route_timeout" in bench.client.take()
    assert upstream.ended == "aborted"
    assert bench.counted() == {("504", "UT"): 1}
    bench.send(GET)  # the connection is kept
    assert bench.endpoint.waiting == 1


def test_route_timeout_after_the_answer_began_resets() -> None:
    bench = Bench(timeout_ms=1_000)
    upstream = with_connection(bench)
    bench.send(GET)
    bench.answer(upstream, OK[:-2])
    bench.loop.advance(1.2)
    assert bench.client.ended == "aborted"


def test_five_minutes_without_a_byte() -> None:
    bench = Bench()
    upstream = with_connection(bench)
    bench.send(POST)
    for _ in range(4):
        bench.loop.advance(299)
        bench.send(b"x")
    bench.loop.advance(299)
    assert not bench.client.ended
    bench.loop.advance(2)
    assert b"x-tulle-reason: idle_timeout" in bench.client.take()
    assert upstream.ended == "aborted"


def test_a_slow_client_slows_the_upstream() -> None:
    bench = Bench()
    upstream = with_connection(bench)
    bench.send(GET)
    bench.answer(upstream, b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
    bench.connection.pause_writing()
    assert not upstream.reading
    bench.connection.resume_writing()
    assert upstream.reading
    bench.connection.pause_writing()
    bench.answer(upstream, b"world")
    assert upstream.reading  # it is idle, and will serve others
    # No further request is begun for a client that does not read.
    bench.send(GET)
    assert upstream.take().count(b"GET") == 1
    bench.connection.resume_writing()
    bench.loop.turn()
    assert upstream.take().count(b"GET") == 1


def test_a_client_that_was_full_before_there_was_an_upstream_slows_it() -> None:
    bench = Bench()
    bench.send(GET)
    bench.connection.pause_writing()
    upstream = bench.endpoint.connect()
    bench.loop.turn()
    assert not upstream.reading
    bench.connection.resume_writing()
    assert upstream.reading


@pytest.mark.parametrize("piped", [POST + b"hello", CHUNKED + b"5\r\nhello\r\n0\r\n\r\n"])
def test_a_pipelined_body_is_sent_when_its_turn_comes(piped: bytes) -> None:
    bench = Bench()
    upstream = with_connection(bench)
    bench.send(GET + piped)
    assert b"hello" not in upstream.take()
    bench.answer(upstream, OK)
    assert b"hello" in upstream.take()
    bench.answer(upstream, OK)
    assert bench.client.take() == ANSWER * 2


def test_a_pipelined_body_is_sent_when_a_slow_client_reads_again() -> None:
    bench = Bench()
    upstream = with_connection(bench)
    bench.send(GET + POST + b"hello")
    bench.connection.pause_writing()
    bench.answer(upstream, OK)
    assert b"hello" not in upstream.take()
    bench.connection.resume_writing()
    bench.loop.turn()
    assert b"hello" in upstream.take()


def test_a_pipelined_head_that_does_not_come_to_its_end() -> None:
    bench = Bench()
    upstream = with_connection(bench)
    bench.send(GET + b"GET /y HTT")
    bench.answer(upstream, OK)
    assert bench.client.take() == ANSWER
    bench.loop.advance(61)
    assert bench.client.take().startswith(b"HTTP/1.1 408 ")


def test_bytes_that_came_before_the_request_left_are_no_answer_to_it() -> None:
    bench = Bench()
    upstream = with_connection(bench)
    bench.connection.data_received(GET)
    upstream.protocol.data_received(OK.replace(b"hello", b"STRAY"))
    bench.loop.turn()
    assert upstream.ended == "aborted"
    assert not bench.client.written
    again = bench.endpoint.connect()
    bench.loop.turn()
    bench.answer(again, OK)
    assert bench.client.take() == ANSWER


def test_a_slow_upstream_slows_the_client() -> None:
    bench = Bench()
    upstream = with_connection(bench)
    bench.send(POST + b"he")
    upstream.protocol.pause_writing()
    assert not bench.client.reading
    upstream.protocol.resume_writing()
    assert bench.client.reading


def test_an_upstream_that_answers_without_reading_all_holds_nobody() -> None:
    bench = Bench()
    upstream = with_connection(bench)
    bench.send(POST + b"hello")
    upstream.protocol.pause_writing()
    bench.answer(upstream, OK)
    assert bench.client.reading
    assert upstream.ended == "aborted"


def test_early_answer_to_a_request_that_goes_on() -> None:
    bench = Bench()
    upstream = with_connection(bench)
    bench.send(POST + b"he")
    bench.answer(upstream, OK)
    assert b"connection: close" in bench.client.take()
    assert upstream.ended == "aborted"
    assert bench.client.eof
    bench.send(b"llo")  # discarded
    bench.loop.advance(2.2)
    assert bench.client.ended == "aborted"


@pytest.mark.parametrize(
    ("request_", "keeps"),
    [
        (POST, True),
        (POST.replace(b": 5", b": 65537"), False),
        (POST[:-2] + b"Expect: 100-continue\r\n\r\n", False),
        (CHUNKED, False),
        (POST[:-2] + b"Connection: close\r\n\r\n", False),
    ],
)
def test_the_rest_of_a_refused_request(request_: bytes, keeps: bool) -> None:
    bench = Bench(endpoints=0)
    bench.send(request_)
    assert (b"connection: close" not in bench.client.take()) is keeps
    assert bench.client.eof is not keeps
    bench.send(b"hello" + GET)
    assert bool(bench.client.take()) is keeps


def test_a_flaw_in_a_refused_request_ends_the_connection() -> None:
    bench = Bench(endpoints=0)
    bench.edge.draining = False
    bench.send(POST + b"he")
    bench.client.take()
    bench.loop.advance(301)
    assert bench.client.ended


def test_a_bad_body_ends_the_upstream_request() -> None:
    bench = Bench()
    upstream = with_connection(bench)
    bench.send(CHUNKED + b"1\r\na\r\n")
    bench.send(b"nonsense\r\n")
    assert upstream.ended == "aborted"
    assert b"x-tulle-reason: bad_request" in bench.client.take()


def test_1xx_is_not_for_http_1_0() -> None:
    bench = Bench()
    upstream = with_connection(bench)
    bench.send(GET.replace(b"1.1", b"1.0"))
    bench.answer(upstream, b"HTTP/1.1 103 Early Hints\r\n\r\n")
    assert not bench.client.written
    bench.answer(upstream, OK)
    assert bench.client.take().startswith(b"HTTP/1.1 200 OK")


def test_http_1_0_without_a_host_gets_the_clusters() -> None:
    bench = Bench()
    upstream = with_connection(bench)
    bench.send(b"GET / HTTP/1.0\r\n\r\n")
    assert b"\r\nhost: up.local\r\n" in upstream.take()


def test_draining_answers_are_the_last() -> None:
    bench = Bench()
    upstream = with_connection(bench)
    bench.send(GET)
    bench.edge.draining = True
    bench.answer(upstream, OK)
    assert b"connection: close" in bench.client.take()
    assert bench.client.ended == "closed"


def test_a_head_that_does_not_come_to_its_end() -> None:
    bench = Bench()
    bench.loop.advance(200)
    bench.send(GET[:10])
    bench.loop.advance(59)
    bench.send(GET[10:12])
    assert not bench.client.written
    bench.loop.advance(1.2)
    assert b"x-tulle-reason: request_timeout" in bench.client.take()


def test_a_connection_without_requests_is_closed_after_five_minutes() -> None:
    bench = Bench()
    bench.loop.advance(299)
    assert not bench.client.is_closing()
    bench.loop.advance(2)
    assert bench.client.ended == "closed"
    bench.loop.advance(3)
    assert bench.loop.timers == 0  # nobody is left to be asked


def test_an_answer_is_read_to_its_end_before_the_close_is_forced() -> None:
    bench = Bench()
    upstream = with_connection(bench)
    bench.client.unsent = 100_000
    bench.send(POST + b"he")
    bench.answer(upstream, OK)
    bench.loop.advance(50)
    assert not bench.client.is_closing()
    bench.loop.advance(12)
    assert bench.client.ended == "aborted"


def test_over_tls_too_what_is_still_sent_is_read_before_the_close() -> None:
    bench = Bench()
    bench.client.half_closes = False
    bench.edge.choose = None
    bench.send(CHUNKED + b"5\r\nhello\r\n")
    assert b"x-tulle-reason: no_gateway" in bench.client.take()
    # A close now, with bytes that nobody has read, would reset the connection and lose the answer.
    assert not bench.client.is_closing() and bench.client.reading
    bench.send(b"5\r\nworld\r\n")
    assert not bench.client.written
    bench.loop.advance(3)
    assert bench.client.ended == "aborted"


EXCHANGES = [
    (GET, OK),
    (POST + b"hello", b"HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n"
     b"3\r\nabc\r\n4;x\r\ndefg\r\n0\r\nT: 1\r\n\r\n"),
    (CHUNKED + b"3\r\nabc\r\n4\r\ndefg\r\n0\r\nT: 1\r\n\r\n",
     b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\nX: y\r\n\r\n"),
    (GET.replace(b"GET", b"HEAD"), b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
]  # fmt: skip


def forwarded(cuts: list[int]) -> list[tuple[bytes, bytes]]:
    """What the upstream and the client got per exchange, chunk boundaries apart."""
    bench = Bench()
    upstream = with_connection(bench)
    seen = []
    for request_, response in EXCHANGES:
        for piece in cut(request_, cuts):
            bench.send(piece)
        request_seen = upstream.take()
        for piece in cut(response, cuts):
            bench.answer(upstream, piece)
        seen.append((without_sizes(request_seen), without_sizes(bench.client.take())))
    assert bench.counted()
    assert not bench.client.ended
    return seen


def without_sizes(data: bytes) -> bytes:
    """`data` with a chunked body decoded, and without the ids that are made anew each time."""
    if b"chunked" in data:
        head, _, body = data.partition(b"\r\n\r\n")
        data = head + ChunkReader().feed(body)[0]
    made = (b"x-request-id", b"traceparent")
    return b"\r\n".join(line for line in data.split(b"\r\n") if not line.startswith(made))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 120), max_size=10))
def test_how_bytes_are_split_into_reads_does_not_matter(cuts: list[int]) -> None:
    assert forwarded(cuts) == forwarded([])
