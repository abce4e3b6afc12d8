"""Clusters: names, subsets, balancing, endpoints, and what is broken."""

import pytest

from tests.support.policy_mesh import Mesh, service
from tulle.policies.compile.clusters import compile_cluster
from tulle.policies.config import Cluster, StaticEndpoint
from tulle.policies.resolve import Index

RULE = """\
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews}
spec:
  host: reviews
  trafficPolicy: {loadBalancer: {simple: RANDOM}}
  subsets:
  - name: v1
    labels: {version: v1, app: reviews}
  - name: v2
    labels: {version: v2}
    trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN}}
"""
ENTRY = """\
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: outside}
spec:
  hosts: [api.example]
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP}, {number: 81, name: alt, protocol: HTTP}]
  endpoints:
  - {address: 10.0.0.2, ports: {http: 8080}, labels: {version: v1}}
  - {address: 10.0.0.1}
  - {address: 10.0.0.1}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: outside}
spec:
  host: api.example
  subsets: [{name: v1, labels: {version: v1}}]
"""
REVIEWS = "reviews.default.svc.cluster.local"


def cluster(text: str, host: str, port: int, subset: str = "") -> Cluster:
    return compile_cluster(Index(Mesh(text).world).backend(host), port, subset)


def test_a_subset_has_its_rules_labels_sorted() -> None:
    assert cluster(RULE, REVIEWS, 9080, "v1") == Cluster(
        name=f"outbound|9080|v1|{REVIEWS}",
        host=REVIEWS,
        port=9080,
        subset="v1",
        service="default/reviews",
        labels=(("app", "reviews"), ("version", "v1")),
        balancer="RANDOM",
    )


def test_a_subsets_own_balancer_counts_more_than_its_hosts() -> None:
    assert cluster(RULE, REVIEWS, 9080).balancer == "RANDOM"
    assert cluster(RULE, REVIEWS, 9080, "v2").balancer == "ROUND_ROBIN"


@pytest.mark.parametrize("written", ["LEAST_REQUEST", "LEAST_CONN", "UNSPECIFIED"])
def test_least_request_is_the_default_and_has_old_names(written: str) -> None:
    text = RULE.replace("simple: RANDOM", f"simple: {written}")
    assert cluster(text, REVIEWS, 9080).balancer == "LEAST_REQUEST"
    assert cluster("", "ratings.default.svc.cluster.local", 9080).balancer == "LEAST_REQUEST"


def test_what_does_not_exist_is_a_cluster_that_says_so() -> None:
    assert cluster(RULE, REVIEWS, 9080, "v9").broken == "unknown_subset"
    assert cluster(RULE, REVIEWS, 81).broken == "unknown_cluster"
    assert cluster(RULE, "nowhere.example", 80).broken == "unknown_cluster"
    assert cluster(RULE, "nowhere.example", 80).name == "outbound|80||nowhere.example"


def test_a_service_entry_has_its_endpoints_and_no_mtls() -> None:
    assert cluster(ENTRY, "api.example", 80) == Cluster(
        name="outbound|80||api.example",
        host="api.example",
        port=80,
        endpoints=(
            StaticEndpoint("10.0.0.1", 80),
            StaticEndpoint("10.0.0.2", 8080, (("version", "v1"),)),
        ),
        tls="DISABLE",
    )
    assert [e.port for e in cluster(ENTRY, "api.example", 81).endpoints] == [81, 81]


def test_a_subset_of_a_service_entry_has_the_endpoints_with_its_labels() -> None:
    endpoints = cluster(ENTRY, "api.example", 80, "v1").endpoints
    assert [endpoint.address for endpoint in endpoints] == ["10.0.0.2"]


def test_ports_are_those_of_the_service() -> None:
    mesh = Mesh(services=[service("a", 80, 8080)])
    backend = Index(mesh.world).backend("a.default.svc.cluster.local")
    assert compile_cluster(backend, 8080).broken == ""
    assert compile_cluster(backend, 81).broken == "unknown_cluster"
