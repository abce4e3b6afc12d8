"""Balancing."""

from collections import Counter
from dataclasses import replace
from random import Random

import pytest

from tests.support.bench_plane import HandEndpoint
from tests.support.fake_loop import ManualLoop
from tests.support.serving_plane import static_cluster
from tulle.actors.proxy.cluster import Cluster, for_requests
from tulle.actors.proxy.stats import Stats
from tulle.actors.proxy.wheel import Wheel
from tulle.policies.config import Balancer
from tulle.policies.reasons import NO_ENDPOINTS, TCP_PORT, UNKNOWN_SUBSET


def cluster(balancer: Balancer, count: int) -> Cluster:
    made = Cluster(
        replace(static_cluster(), balancer=balancer), Stats().recorder("source"), Random(1).random
    )
    wheel = Wheel(ManualLoop())
    made.endpoints = tuple(HandEndpoint(f"e{n}", wheel) for n in range(count))
    return made


def picks(it: Cluster, count: int) -> Counter[str]:
    picked = (it.pick(()) for _ in range(count))
    return Counter(endpoint.address for endpoint in picked if endpoint is not None)


def test_round_robin_takes_each_in_turn() -> None:
    assert set(picks(cluster("ROUND_ROBIN", 3), 30).values()) == {10}


@pytest.mark.parametrize("balancer", ["RANDOM", "LEAST_REQUEST"])
def test_all_get_their_share(balancer: Balancer) -> None:
    counts = picks(cluster(balancer, 4), 4_000)
    assert all(850 < count < 1_150 for count in counts.values())


def test_least_request_takes_the_less_busy_of_two() -> None:
    it = cluster("LEAST_REQUEST", 2)
    it.endpoints[0].active = 1
    assert picks(it, 50) == {"e1": 50}
    it = cluster("LEAST_REQUEST", 4)
    it.endpoints[0].active = 1
    assert picks(it, 400)["e0"] == 0


@pytest.mark.parametrize("balancer", ["ROUND_ROBIN", "RANDOM", "LEAST_REQUEST"])
def test_what_was_tried_is_not_taken_again(balancer: Balancer) -> None:
    it = cluster(balancer, 3)
    first, second, third = it.endpoints
    assert it.pick((first, third)) is second
    assert it.pick(it.endpoints) is None
    assert cluster(balancer, 0).pick(()) is None


def test_why_there_is_none() -> None:
    assert cluster("RANDOM", 0).refusal is NO_ENDPOINTS
    broken = Cluster(replace(static_cluster(), broken="unknown_subset"), Stats().recorder("source"))
    assert broken.refusal is UNKNOWN_SUBSET


def test_routes_of_requests_find_nobody_at_a_tcp_port() -> None:
    http = cluster("RANDOM", 1)
    tcp = Cluster(replace(http.config, protocol="tcp"), http.unrouted)
    tcp.endpoints = http.endpoints
    seen = for_requests({"http": http, "tcp": tcp})
    assert seen["http"] is http
    assert seen["tcp"].pick(()) is None and seen["tcp"].refusal is TCP_PORT
    assert tcp.pick(()) is not None, "tunnels do"
