"""When a request is sent again, where to, how often, and what the client sees of it: nothing."""

import pytest

from tests.support.bench_plane import Bench, LimitedBench
from tests.support.fake_loop import FakeTransport
from tulle.actors.proxy.trying import joined_flags
from tulle.policies.config import ConnectionLimits
from tulle.policies.decide.plan import NO_RETRY, Retry
from tulle.policies.reasons import CONNECT_FAILED, CONNECT_TIMEOUT, UPSTREAM_RESET, Reason

GET = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n"
PUT = b"PUT /x HTTP/1.1\r\nHost: a\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"
BUSY = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy"
RESET = ConnectionResetError()
ON_503 = Retry(2, statuses=frozenset({503}))


def asked(request_: bytes = GET, **choice: object) -> tuple[Bench, FakeTransport]:
    """A bench with two endpoints, and the fresh connection on which a request is under way."""
    bench = Bench(endpoints=2, **choice)  # type: ignore[arg-type]
    bench.send(request_)
    return bench, bench.connect()


def test_a_reset_before_the_answer_is_tried_on_another_endpoint() -> None:
    bench, first = asked()
    first.lose(RESET)
    second = bench.connect()
    assert second.take() == first.take()
    assert first.protocol.endpoint is not second.protocol.endpoint  # type: ignore[attr-defined]
    bench.answer(second, OK)
    assert bench.client.take() == ANSWER
    assert bench.counted() == {("200", "-"): 1}
    bench.idle()


def app_gone(reason: Reason) -> bytes:
    """What a sidecar says to a peer."""
    text = b"HTTP/1.1 503 Service Unavailable\r\nx-tulle-reason: %b\r\nx-tulle-failed: %b\r\n"
    return text % ((reason.name.encode(),) * 2) + b"content-length: 4\r\n\r\ngone"


def peers(bench: Bench) -> None:
    """Endpoints are sidecars that prove who they are."""
    for endpoint in bench.endpoints:
        endpoint.accounts = frozenset({"spiffe://cluster.local/ns/default/sa/reviews"})


@pytest.mark.parametrize("request_", [GET, POST + b"12345"])
def test_an_app_that_its_sidecar_can_not_reach_is_as_an_endpoint_that_is_not_reached(
    request_: bytes,
) -> None:
    bench, first = asked(request_)
    peers(bench)
    sent = first.take()
    bench.answer(first, app_gone(CONNECT_FAILED))
    second = bench.connect()
    assert second.take() == sent
    bench.answer(second, OK)
    assert bench.client.take() == ANSWER
    assert bench.counted() == {("200", "-"): 1}
    bench.idle()


def test_an_app_that_dies_at_work_is_as_a_reset() -> None:
    bench, first = asked()
    peers(bench)
    bench.answer(first, app_gone(UPSTREAM_RESET))
    bench.answer(bench.connect(), OK)
    assert bench.client.take() == ANSWER
    bench.idle()

    bench, first = asked(POST + b"12345")  # which it may have done
    peers(bench)
    bench.answer(first, app_gone(UPSTREAM_RESET))
    said = bench.client.take()
    assert said.startswith(b"HTTP/1.1 503") and b"x-tulle-reason: upstream_reset" in said
    assert b"x-tulle-failed" not in said
    bench.idle()


def test_who_has_not_proved_to_be_a_sidecar_answers_for_itself() -> None:
    bench, upstream = asked()
    bench.answer(upstream, app_gone(CONNECT_FAILED))
    said = bench.client.take()
    assert said.startswith(b"HTTP/1.1 503") and b"x-tulle-failed" not in said
    bench.idle()


def test_an_app_that_is_gone_everywhere_is_said_in_the_end() -> None:
    bench, first = asked()
    peers(bench)
    first.take()
    bench.answer(first, app_gone(CONNECT_FAILED))
    second = bench.connect()
    second.take()
    bench.answer(second, app_gone(CONNECT_FAILED))
    bench.loop.advance(0.4)  # the third is on a connection that is there already
    (third,) = [one for one in (first, second) if one.take()]
    bench.answer(third, app_gone(CONNECT_FAILED))
    assert b"x-tulle-reason: connect_failed" in bench.client.take()
    assert bench.counted() == {("503", "URX"): 1}
    bench.idle()


def test_attempts_are_tries_after_the_first() -> None:
    bench, upstream = asked()
    for _ in range(2):
        upstream.lose(RESET)
        bench.loop.advance(0.4)  # the third is on an endpoint that was tried
        upstream = bench.connect()
    upstream.lose(RESET)
    bench.loop.turn()
    assert b"x-tulle-reason: upstream_reset" in bench.client.take()
    assert bench.counted() == {("503", "UC,URX"): 1}
    bench.idle()


def test_an_endpoint_that_was_tried_is_tried_again_after_a_short_wait() -> None:
    bench = Bench()
    bench.uniform = 0.99
    bench.send(GET)
    bench.endpoint.fail(CONNECT_FAILED)
    assert not bench.endpoint.waiting
    bench.loop.advance(0.15)
    assert bench.endpoint.waiting
    bench.answer(bench.connect(), OK)
    assert bench.client.take() == ANSWER


def test_a_client_may_leave_between_two_tries() -> None:
    bench = Bench()
    bench.send(GET)
    bench.endpoint.fail(CONNECT_FAILED)
    bench.client.lose(RESET)
    bench.loop.advance(1)
    assert bench.counted() == {("0", "DC"): 1}
    bench.idle()


@pytest.mark.parametrize(
    ("retry", "reset"),
    [
        (NO_RETRY, True),
        (Retry(2, on_reset=False), True),
        (Retry(2, on_connect_failure=False), False),
    ],
)  # fmt: skip
def test_only_what_the_policy_names_is_tried_again(retry: Retry, reset: bool) -> None:
    bench = Bench(endpoints=2, retry=retry)
    bench.send(GET)
    if reset:
        bench.connect().lose(RESET)
    else:
        bench.waiting().fail(CONNECT_TIMEOUT)
    bench.loop.turn()
    assert bench.client.take().startswith(b"HTTP/1.1 503 ")
    assert bench.counted() == {("503", "UC" if reset else "UF"): 1}


@pytest.mark.parametrize("closed", [None, RESET])
def test_a_post_whose_connection_closes_before_it_is_written_is_sent_again(
    closed: Exception | None,
) -> None:
    bench = Bench()
    stale = bench.endpoint.connect()
    bench.connection.data_received(POST + b"hello")
    stale.lose(closed)  # in the same poll: the outbox has not written yet
    bench.loop.turn()
    assert not stale.written
    again = bench.connect()
    assert again.take().endswith(b"\r\n\r\nhello")
    bench.answer(again, OK)
    assert bench.client.take() == ANSWER


def test_a_post_is_not_sent_twice_by_default_but_when_the_policy_says_so() -> None:
    bench, upstream = asked(POST + b"hello")
    upstream.lose(RESET)
    bench.loop.turn()
    assert b"upstream_reset" in bench.client.take()
    assert bench.counted() == {("503", "UC"): 1}
    bench, upstream = asked(POST + b"hello", retry=Retry(1))
    upstream.lose(RESET)
    assert bench.connect().take().endswith(b"\r\n\r\nhello")


@pytest.mark.parametrize(("size", "again"), [(65_536, True), (65_537, False)])
@pytest.mark.parametrize("pieces", [1, 3])
def test_bodies_of_64_kib_are_kept(size: int, again: bool, pieces: int) -> None:
    body = bytes(range(256)) * 257
    body = body[:size]
    head = PUT + b"Content-Length: %d\r\n\r\n" % size
    bench, upstream = asked(head)
    step = -(-size // pieces)
    for at in range(0, size, step):
        bench.send(body[at : at + step])
    upstream.lose(RESET)
    bench.loop.turn()
    if again:
        second = bench.connect()
        assert second.take().endswith(b"\r\n\r\n" + body)
        bench.answer(second, OK)
        assert bench.client.take() == ANSWER
    else:
        assert b"upstream_reset" in bench.client.take()
    bench.idle()


def test_a_body_that_is_still_coming_goes_on_to_the_next_try() -> None:
    bench, upstream = asked(PUT + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n")
    upstream.lose(RESET)
    bench.send(b"3\r\nllo\r\n")
    second = bench.connect()
    bench.send(b"0\r\n\r\n")
    assert second.take().endswith(b"\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n")
    bench.answer(second, OK)
    assert bench.client.take() == ANSWER


def test_a_chunked_body_is_forgotten_once_it_is_too_large() -> None:
    chunk = b"4000\r\n" + b"a" * 0x4000 + b"\r\n"
    bench, upstream = asked(PUT + b"Transfer-Encoding: chunked\r\n\r\n")
    for _ in range(4):
        bench.send(chunk)
    upstream.lose(RESET)
    bench.loop.turn()
    assert b"upstream_reset" in bench.client.take()


@pytest.mark.parametrize("cut", [0, 20, len(BUSY) - 2, len(BUSY)])
def test_a_listed_status_is_not_for_the_client(cut: int) -> None:
    bench, first = asked(retry=ON_503)
    for piece in (BUSY[:cut], BUSY[cut:]):
        if piece and not first.ended:
            bench.answer(first, piece)
    second = bench.connect()
    bench.answer(second, OK)
    assert bench.client.take() == ANSWER
    assert bench.counted() == {("200", "-"): 1}
    # A connection whose answer is complete is good for more.
    assert first.ended == ("aborted" if cut == len(BUSY) - 2 else "")
    bench.idle()


def test_a_listed_status_is_for_the_client_when_no_try_is_left() -> None:
    bench, upstream = asked(retry=Retry(1, statuses=frozenset({503})))
    bench.answer(upstream, BUSY)
    bench.answer(bench.connect(), BUSY)
    assert bench.client.take().endswith(b"busy")
    assert bench.counted() == {("503", "URX"): 1}
    bench.idle()


def test_other_statuses_are_for_the_client() -> None:
    bench, upstream = asked(retry=ON_503)
    bench.answer(upstream, BUSY.replace(b"503", b"500"))
    assert bench.client.take().startswith(b"HTTP/1.1 500 ")
    assert bench.counted() == {("500", "-"): 1}


def test_after_a_1xx_went_to_the_client_nothing_is_tried_again() -> None:
    bench, upstream = asked(retry=ON_503)
    bench.answer(upstream, b"HTTP/1.1 103 Early Hints\r\n\r\n")
    bench.answer(upstream, BUSY)
    assert bench.client.take().endswith(b"busy")
    bench, upstream = asked()
    bench.answer(upstream, b"HTTP/1.1 103 Early Hints\r\n\r\n")
    upstream.lose(RESET)
    bench.loop.turn()
    assert b"upstream_reset" in bench.client.take()


def test_a_listed_status_before_the_end_of_the_body() -> None:
    bench, upstream = asked(POST + b"he", retry=ON_503)
    bench.answer(upstream, BUSY)
    assert upstream.ended == "aborted"
    second = bench.connect()
    bench.send(b"llo")
    assert second.take().endswith(b"\r\n\r\nhello")
    bench.answer(second, OK)
    assert bench.client.take() == ANSWER


def test_a_try_that_takes_too_long_is_followed_by_another() -> None:
    bench, first = asked(retry=Retry(1, per_try=1.0))
    bench.loop.advance(1.2)
    assert first.ended == "aborted"
    second = bench.connect()
    bench.loop.advance(1.2)
    assert second.ended == "aborted"
    assert b"x-tulle-reason: per_try_timeout" in bench.client.take()
    assert bench.counted() == {("504", "UT,URX"): 1}
    bench.idle()


def test_the_time_of_a_try_has_the_wait_for_its_connection_in_it() -> None:
    bench = Bench(endpoints=2, retry=Retry(1, per_try=1.0))
    bench.send(GET)
    first = bench.waiting()
    bench.loop.advance(1.2)
    assert bench.waiting() is not first


def test_an_answer_that_has_begun_may_take_longer_than_a_try() -> None:
    bench, upstream = asked(retry=Retry(1, per_try=1.0))
    bench.answer(upstream, OK[:-2])
    bench.loop.advance(5)
    bench.answer(upstream, OK[-2:])
    assert bench.client.take() == ANSWER


def test_the_route_s_time_out_holds_over_all_tries() -> None:
    bench, _ = asked(retry=Retry(9, per_try=1.0), timeout_ms=2_500)
    for _ in range(2):
        bench.loop.advance(1.1)
        bench.connect()
    bench.loop.advance(1.1)
    assert b"x-tulle-reason: route_timeout" in bench.client.take()
    bench.idle()


def test_a_partial_head_of_a_failed_try_is_forgotten() -> None:
    bench, upstream = asked(retry=Retry(1, per_try=1.0))
    bench.answer(upstream, b"HTTP/1.1 200 OK\r\nX-From: first\r\n")
    bench.loop.advance(1.2)
    bench.answer(bench.connect(), OK)
    assert bench.client.take() == ANSWER


def test_what_a_failed_try_had_begun_does_not_keep_the_next_from_being_repeated() -> None:
    bench, upstream = asked(retry=Retry(2, per_try=1.0))
    bench.answer(upstream, b"HTTP/1.1 200 OK\r\nX-From: first\r\n")
    bench.loop.advance(1.2)
    bench.connect().lose(RESET)
    bench.loop.advance(0.2)
    bench.answer(bench.connect(), OK)
    assert bench.client.take() == ANSWER


def test_a_body_is_kept_for_every_try() -> None:
    body = b"a" * 40_000
    bench, upstream = asked(PUT + b"Content-Length: 40000\r\n\r\n" + body)
    for _ in range(2):
        upstream.lose(RESET)
        bench.loop.advance(0.4)
        upstream = bench.connect()
        assert upstream.take().endswith(b"\r\n\r\n" + body)


def test_retries_of_a_cluster_at_once_are_limited() -> None:
    bench = LimitedBench(ConnectionLimits(max_retries=1), endpoints=2)
    bench.send(GET)
    other, transport = bench.another_client()
    other.data_received(GET)
    for endpoint in bench.limited:
        endpoint.fail(CONNECT_FAILED)
    bench.loop.turn()
    (taken,) = [it for it in bench.limited if it.waiting]
    assert bench.limits.retries == 1
    assert bench.counted() == {("503", "UF,UO"): 1}
    upstream = taken.connect()
    bench.loop.turn()
    bench.answer(upstream, OK)
    assert ANSWER in (bench.client.take(), transport.take())
    bench.idle()


def test_a_slow_client_slows_the_next_try_too() -> None:
    bench, first = asked()
    bench.connection.pause_writing()
    first.lose(RESET)
    second = bench.connect()
    assert not second.reading
    bench.connection.resume_writing()
    bench.answer(second, OK)
    assert bench.client.take() == ANSWER


def test_pipelined_requests_are_each_tried_again() -> None:
    bench, first = asked(GET + GET)
    first.lose(RESET)
    bench.answer(bench.connect(), OK)
    assert bench.client.take() == ANSWER
    third = next(it for it in bench.endpoints if it.idle or it.active)
    assert third.active == 1


def test_flags_are_joined_in_envoy_s_order() -> None:
    assert joined_flags({"URX", "UF"}) == "UF,URX"
    assert joined_flags({"DI", "UT", "-"}) == "UT,DI"
    assert joined_flags({"-"}) == joined_flags(set()) == "-"
