"""Ejection: when an endpoint gets no requests any more, and when it does again."""

from dataclasses import replace

import pytest

from tests.support.bench_plane import Bench, HandEndpoint
from tulle.policies.config import DEFAULT_OUTLIER, Outlier
from tulle.policies.decide.plan import NO_RETRY
from tulle.policies.reasons import CONNECT_FAILED

GET = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"
RESET = ConnectionResetError()
ALL = replace(DEFAULT_OUTLIER, max_ejection_percent=100)
FIVE = Outlier(consecutive_5xx=5, max_ejection_percent=100)
GATEWAY = Outlier(consecutive_5xx=0, consecutive_gateway=3, max_ejection_percent=100)
SPLIT = Outlier(consecutive_5xx=3, consecutive_local=5, split=True, max_ejection_percent=100)


def bench_of(endpoints: int, outlier: Outlier) -> Bench:
    return Bench(endpoints, retry=NO_RETRY, outlier=outlier)


def fail(bench: Bench, endpoint: HandEndpoint, times: int) -> None:
    for _ in range(times):
        bench.cluster.note_failure(endpoint)


def answer(bench: Bench, endpoint: HandEndpoint, *statuses: int) -> None:
    for status in statuses:
        bench.cluster.note_answer(endpoint, status)


def available(bench: Bench) -> list[int]:
    """Which endpoints get requests, by their numbers."""
    return [n for n, it in enumerate(bench.endpoints) if it in bench.cluster.available]


def test_five_connect_failures_in_a_row() -> None:
    bench = bench_of(2, DEFAULT_OUTLIER)
    failed = 0
    for _ in range(20):
        if len(available(bench)) == 1:
            break
        bench.send(GET)
        waiting = bench.waiting()
        if waiting is bench.endpoint:
            waiting.fail(CONNECT_FAILED)
            failed += 1
        else:
            bench.answer(bench.connect(), b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            waiting.idle.pop()
        bench.loop.turn()
    assert failed == 5
    assert available(bench) == [1]
    for _ in range(4):
        bench.send(GET)
        bench.waiting().fail(CONNECT_FAILED)
    assert bench.endpoint.active == 0
    bench.idle()


@pytest.mark.parametrize("how", ["reset", "route time-out", "nonsense"])
def test_what_counts_as_a_failure(how: str) -> None:
    bench = Bench(2, timeout_ms=1_000, retry=NO_RETRY)
    upstreams = []
    for _ in range(8):  # in turn: four to each of them
        bench.send(GET)
        upstreams.append(bench.connect())
        if how == "reset":
            upstreams[-1].lose(RESET)
        elif how == "nonsense":
            bench.answer(upstreams[-1], b"what?\r\n\r\n")
        else:
            bench.loop.advance(1.2)
        bench.loop.turn()
    assert [it.failing and it.failing.local for it in bench.endpoints] == [4, 4]
    bench.idle()


def test_an_answer_ends_the_row() -> None:
    bench = bench_of(1, ALL)
    spare = HandEndpoint("spare", bench.wheel)
    fail(bench, bench.endpoint, 4)
    upstream = bench.endpoint.connect()
    bench.send(GET)
    bench.answer(upstream, b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
    bench.cluster.endpoints = (bench.endpoint, spare)
    fail(bench, bench.endpoint, 4)
    assert bench.endpoint in bench.cluster.available
    fail(bench, bench.endpoint, 1)
    assert bench.cluster.available == (spare,)


@pytest.mark.parametrize(
    ("outlier", "statuses", "ejected"),
    [
        (DEFAULT_OUTLIER, (500, 503) * 10, False),  # answers are no failures
        (FIVE, (500,) * 4, False),
        (FIVE, (500, 503, 502, 599, 504), True),
        (FIVE, (500, 500, 200, 500, 500, 500), False),
        (FIVE, (404,) * 9, False),
        (GATEWAY, (502, 503, 504), True),
        (GATEWAY, (502, 503, 500, 504, 503), False),
        (GATEWAY, (500,) * 9, False),
    ],
)
def test_statuses_in_a_row(outlier: Outlier, statuses: tuple[int, ...], ejected: bool) -> None:
    bench = bench_of(2, outlier)
    answer(bench, bench.endpoint, *statuses)
    assert available(bench) == ([1] if ejected else [0, 1])


def test_answers_to_requests_are_counted() -> None:
    bench = bench_of(2, FIVE)
    for _ in range(9):  # in turn: five to one of them
        bench.send(GET)
        endpoint = bench.waiting()
        bench.answer(bench.connect(), b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n")
        endpoint.idle.clear()
    assert len(available(bench)) == 1
    bench.idle()


def test_failures_without_an_answer_count_as_503_unless_they_are_split() -> None:
    bench = bench_of(2, GATEWAY)
    fail(bench, bench.endpoint, 3)
    assert available(bench) == [1]
    bench = bench_of(2, SPLIT)
    fail(bench, bench.endpoint, 4)
    assert available(bench) == [0, 1]
    fail(bench, bench.endpoint, 1)
    assert available(bench) == [1]


def test_split_counts_do_not_add_up() -> None:
    bench = bench_of(2, SPLIT)
    fail(bench, bench.endpoint, 2)
    answer(bench, bench.endpoint, 500, 500)
    assert available(bench) == [0, 1]
    answer(bench, bench.endpoint, 500)
    assert available(bench) == [1]


def test_an_ejected_endpoint_is_back_at_the_end_of_an_interval() -> None:
    bench = bench_of(2, replace(ALL, base_ejection_ms=12_000))
    fail(bench, bench.endpoint, 5)
    bench.loop.advance(19.9)
    assert available(bench) == [1]
    bench.loop.advance(0.3)
    assert available(bench) == [0, 1]
    bench.loop.advance(30)
    assert bench.loop.timers == 1  # of the client's connection: nothing is asked any more


def test_the_more_often_the_longer_and_less_after_good_times() -> None:
    bench = bench_of(2, ALL)
    for times, away in enumerate((10, 20, 30), 1):
        fail(bench, bench.endpoint, 5)
        bench.loop.advance(away - 0.2)
        assert available(bench) == [1], times
        bench.loop.advance(0.5)
        assert available(bench) == [0, 1], times
    bench.loop.advance(20)  # two intervals without: counts as once, and again
    fail(bench, bench.endpoint, 5)
    bench.loop.advance(20.3)
    assert available(bench) == [0, 1]


def test_no_ejection_is_longer_than_five_minutes() -> None:
    bench = bench_of(2, replace(ALL, base_ejection_ms=200_000))
    for _ in range(2):
        fail(bench, bench.endpoint, 5)
        bench.loop.advance(300.3)
        assert available(bench) == [0, 1]


@pytest.mark.parametrize(
    ("outlier", "endpoints", "most"),
    [
        (DEFAULT_OUTLIER, 1, 0),
        (DEFAULT_OUTLIER, 2, 1),
        (DEFAULT_OUTLIER, 5, 2),
        (Outlier(), 5, 1),  # 10 %, but one always
        (Outlier(), 20, 2),
        (FIVE, 3, 3),
    ],
)
def test_how_many_may_be_ejected(outlier: Outlier, endpoints: int, most: int) -> None:
    bench = bench_of(endpoints, outlier)
    for endpoint in bench.endpoints:
        fail(bench, endpoint, 5)
    left = endpoints - most
    assert len(available(bench)) == (left or endpoints)


def test_when_all_are_ejected_none_is() -> None:
    bench = bench_of(2, FIVE)
    fail(bench, bench.endpoints[0], 5)
    assert available(bench) == [1]
    fail(bench, bench.endpoints[1], 5)
    assert available(bench) == [0, 1]


def test_too_few_healthy_ones_and_ejection_is_ignored() -> None:
    bench = bench_of(4, replace(FIVE, min_health_percent=50))
    fail(bench, bench.endpoints[0], 5)
    fail(bench, bench.endpoints[1], 5)
    assert available(bench) == [2, 3]
    fail(bench, bench.endpoints[2], 5)
    assert available(bench) == [0, 1, 2, 3]


def test_new_endpoints_of_a_cluster_do_not_bring_the_ejected_back() -> None:
    bench = bench_of(2, ALL)
    fail(bench, bench.endpoint, 5)
    more = HandEndpoint("more", bench.wheel)
    bench.cluster.endpoints = (*bench.endpoints, more)
    assert bench.cluster.available == (bench.endpoints[1], more)


def test_a_retry_does_not_go_to_an_ejected_endpoint() -> None:
    bench = Bench(3, outlier=ALL)
    fail(bench, bench.endpoint, 5)
    bench.send(GET)
    bench.waiting().fail(CONNECT_FAILED)
    bench.waiting().fail(CONNECT_FAILED)
    bench.loop.advance(0.2)
    assert bench.waiting() is not bench.endpoint
