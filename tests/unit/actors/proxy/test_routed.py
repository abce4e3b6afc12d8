"""Faults, edits, rewrites and answers of a route's plan, as client and upstream see them."""

from dataclasses import replace

import pytest

from tests.support.bench_plane import Bench
from tests.support.fake_loop import FakeTransport
from tulle.actors.proxy.cluster import Cluster
from tulle.policies.config import Route
from tulle.policies.decide.match import Headers
from tulle.policies.decide.plan import DEFAULT_RETRY, Asked, LocalAnswer, Plan, Retry
from tulle.policies.decide.route import Choice

GET = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-From: app\r\n\r\nhello"
RESET = ConnectionResetError()
SEVEN = Plan(delay=7.0, delay_share=1.0)
HALF = Plan(abort_status=418, abort_share=0.5)


def with_connection(plan: Plan, **choice: object) -> tuple[Bench, FakeTransport]:
    bench = Bench(plan=plan, **choice)  # type: ignore[arg-type]
    return bench, bench.endpoint.connect()


# Faults.


@pytest.mark.parametrize("request_", [GET, POST + b"hello", POST + b"he"])
def test_a_delay_comes_before_the_request_is_sent(request_: bytes) -> None:
    bench, upstream = with_connection(SEVEN)
    bench.send(request_)
    bench.loop.advance(6.9)
    assert not upstream.written and not bench.client.written
    bench.loop.advance(0.2)
    assert upstream.take().startswith(request_[:10])
    if request_.endswith(b"\nhe"):
        bench.send(b"llo")
        assert upstream.take() == b"llo"
    bench.answer(upstream, OK)
    assert bench.client.take().endswith(b"hello")
    assert bench.counted() == {("200", "DI"): 1}
    bench.idle()


def test_a_body_waits_while_its_request_is_delayed() -> None:
    bench, upstream = with_connection(SEVEN)
    bench.send(POST + b"he")
    assert not bench.client.reading
    bench.loop.advance(7.1)
    assert bench.client.reading
    assert upstream.take().endswith(b"he")


def test_a_delay_sets_no_timer_of_its_own() -> None:
    bench, _ = with_connection(SEVEN)
    bench.send(GET)
    assert bench.loop.timers == 1  # the wheel's


def test_a_client_may_leave_while_its_request_is_delayed() -> None:
    bench, upstream = with_connection(SEVEN)
    bench.send(GET)
    bench.client.lose(RESET)
    bench.loop.advance(8)
    assert not upstream.written
    assert bench.counted() == {("0", "DI,DC"): 1}
    bench.idle()


def test_the_route_s_time_out_runs_while_a_request_is_delayed() -> None:
    bench, upstream = with_connection(SEVEN, timeout_ms=3_000)
    bench.send(GET)
    bench.loop.advance(3.2)
    assert b"x-tulle-reason: route_timeout" in bench.client.take()
    assert bench.counted() == {("504", "UT,DI"): 1}
    bench.loop.advance(5)
    assert not upstream.written
    bench.send(GET)  # the connection is kept
    assert not bench.client.ended


def test_what_is_left_of_the_time_out_holds_after_the_delay() -> None:
    bench, upstream = with_connection(SEVEN, timeout_ms=8_000)
    bench.send(GET)
    bench.loop.advance(7.2)
    assert upstream.written
    bench.loop.advance(1)
    assert b"x-tulle-reason: route_timeout" in bench.client.take()


def test_other_requests_are_not_delayed_nor_aborted() -> None:
    bench, upstream = with_connection(Plan(7.0, 0.5, 418, 0.5))
    bench.uniform = 0.5
    bench.send(GET)
    bench.answer(upstream, OK)
    assert bench.client.take().startswith(b"HTTP/1.1 200 ")
    assert bench.counted() == {("200", "-"): 1}


@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
def test_an_abort_is_answered_with_the_policy_s_status(method: bytes) -> None:
    bench, upstream = with_connection(HALF)
    bench.send(GET.replace(b"GET", method) * 2)
    answer = bench.client.take()
    assert answer.count(b"HTTP/1.1 418 I'm a Teapot\r\nx-tulle-reason: fault_injected\r\n") == 2
    assert answer.endswith(b"\r\n\r\n") is (method == b"HEAD")
    assert not upstream.written
    assert bench.counted() == {("418", "FI"): 2}
    bench.idle()


def test_an_abort_while_the_body_is_under_way_reads_it_to_its_end() -> None:
    bench, upstream = with_connection(HALF)
    bench.send(POST + b"he")
    assert b"connection: close" not in bench.client.take()
    bench.send(b"llo" + POST + b"hello")
    assert bench.client.take().startswith(b"HTTP/1.1 418 ")
    assert not upstream.written


def test_an_abort_of_a_body_of_unknown_length_closes() -> None:
    bench, _ = with_connection(HALF)
    bench.send(b"PUT /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n")
    assert b"connection: close" in bench.client.take()
    assert bench.client.eof


def test_a_delay_is_followed_by_an_abort() -> None:
    bench, upstream = with_connection(Plan(1.0, 1.0, 503, 1.0))
    bench.send(POST + b"he")
    bench.loop.advance(1.2)
    assert bench.client.take().startswith(b"HTTP/1.1 503 ")
    assert bench.client.reading
    bench.send(b"llo")
    assert not upstream.written
    assert bench.counted() == {("503", "DI,FI"): 1}


# Edits and rewrites.


def edit_request(headers: Headers) -> Headers:
    return [(name, value) for name, value in headers if name != b"x-request-id"] + [
        (b"x-request-id", b"ours")
    ]


def edit_response(lines: list[bytes]) -> list[bytes]:
    return [line for line in lines if not line.startswith(b"X-From")] + [b"x-by: tulle"]


EDITS = Plan(
    rewrite_path=lambda path: b"/new" + path,
    authority=b"other.local",
    edit_request=edit_request,
    edit_response=edit_response,
)


def test_path_authority_and_headers_are_rewritten() -> None:
    bench, upstream = with_connection(EDITS)
    bench.send(GET)
    head = upstream.take()
    assert head.startswith(b"GET /new/x HTTP/1.1\r\nhost: other.local\r\n")
    assert head.count(b"x-request-id: ") == head.count(b"x-request-id: ours\r\n") == 1
    assert head.count(b"\r\ntraceparent: ") == 1
    assert b"\r\nx-forwarded-for: 192.0.2.9\r\nx-forwarded-proto: http\r\n" in head


def test_response_headers_are_edited() -> None:
    bench, upstream = with_connection(EDITS)
    bench.send(GET)
    bench.answer(upstream, OK)
    answer = bench.client.take()
    assert b"\r\nx-by: tulle\r\n" in answer
    assert b"X-From" not in answer
    assert answer.endswith(b"\r\ncontent-length: 5\r\n\r\nhello")


def test_responses_of_our_own_are_edited_too_where_a_route_was_chosen() -> None:
    bench = Bench(endpoints=0, plan=EDITS)
    bench.send(GET)
    assert b"\r\nx-by: tulle\r\n" in bench.client.take()
    bench.edge.choose = None
    bench.send(GET)
    assert b"x-by" not in bench.client.take()


def test_a_retry_sends_the_edited_request_and_edits_the_last_response() -> None:
    bench = Bench(endpoints=2, plan=EDITS, retry=Retry(1, statuses=frozenset({500})))
    bench.send(GET)
    first = bench.connect()
    bench.answer(first, OK.replace(b"200", b"500"))
    second = bench.connect()
    assert second.take() == first.take()
    bench.answer(second, OK)
    assert bench.client.take().count(b"x-by: tulle") == 1


# Answers of the policy's own.

MOVED = LocalAnswer(301, ((b"location", b"http://b/y"),))


def answering(answer: LocalAnswer, asked: list[Asked] | None = None) -> Plan:
    def make(request_: Asked) -> LocalAnswer:
        if asked is not None:
            asked.append(request_)
        return answer

    return Plan(answer=make)


def test_a_redirect() -> None:
    asked: list[Asked] = []
    bench, upstream = with_connection(answering(MOVED, asked))
    bench.send(GET.replace(b"/x", b"/x?y=1"))
    assert bench.client.take() == (
        b"HTTP/1.1 301 Moved Permanently\r\nlocation: http://b/y\r\ncontent-length: 0\r\n\r\n"
    )
    assert asked == [Asked("http", b"a", b"/x?y=1", 80)]
    assert not upstream.written
    assert bench.counted() == {("301", "-"): 1}


def test_the_port_of_a_request_s_url_where_the_listener_has_none() -> None:
    asked: list[Asked] = []
    bench, _ = with_connection(answering(MOVED, asked))
    bench.edge.port = 0
    bench.send(GET.replace(b"Host: a", b"Host: a:8080") + GET)
    assert [it.port for it in asked] == [8080, 80]


@pytest.mark.parametrize(
    ("method", "status", "end"),
    [
        (b"GET", 200, b"content-length: 5\r\n\r\nhello"),
        (b"HEAD", 200, b"content-length: 5\r\n\r\n"),
        (b"GET", 204, b"\r\n\r\n"),
        (b"GET", 304, b"\r\n\r\n"),
    ],
)
def test_a_direct_response_is_framed_by_us(method: bytes, status: int, end: bytes) -> None:
    bench, _ = with_connection(answering(LocalAnswer(status, (), b"hello")))
    bench.send(GET.replace(b"GET", method))
    answer = bench.client.take()
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert answer.endswith(end)
    assert (b"content-length" in answer) is (status == 200)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_an_answer_needs_no_cluster(share: float) -> None:
    bench = Bench()
    plan = replace(answering(MOVED), delay=1.0, delay_share=share)
    choice: Choice[Cluster] = Choice(None, 5.0, Route("moved", (), ()), plan=plan)
    bench.edge.choose = lambda method, path, authority, headers, uniform: choice
    bench.send(POST + b"he")
    bench.loop.advance(1.2)
    assert bench.client.take().startswith(b"HTTP/1.1 301 ")
    bench.send(b"llo" + GET)
    bench.loop.advance(1.2)
    assert bench.client.take().startswith(b"HTTP/1.1 301 ")
    assert bench.counted() == {("301", "DI" if share else "-"): 2}


def test_a_plan_that_asks_for_nothing_changes_nothing() -> None:
    bench, upstream = with_connection(Plan(), retry=DEFAULT_RETRY)
    bench.send(GET)
    bench.answer(upstream, OK)
    assert bench.client.take() == OK.replace(b"Content-Length: 5\r\n", b"").replace(
        b"\r\n\r\n", b"\r\ncontent-length: 5\r\n\r\n"
    )
