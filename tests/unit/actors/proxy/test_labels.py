"""Labels of metrics."""

import pytest

from tests.support.certificates import spiffe
from tests.support.serving_plane import service_cluster, static_cluster
from tulle.actors.proxy import labels
from tulle.policies.config import StaticEndpoint


@pytest.mark.parametrize(
    ("account", "peer", "workload", "app", "version"),
    [
        ("reviews", "reviews-v1-abcde", "reviews-v1", "reviews", "v1"),
        ("reviews", "reviews-abcde", "reviews", "reviews", "unknown"),
        ("my-app", "my-app-v1-beta-abcde", "my-app-v1-beta", "my-app", "v1-beta"),
        ("shared", "reviews-v2-abcde", "reviews-v2", "reviews", "v2"),
        ("reviews", "", "unknown", "reviews", "unknown"),
        ("reviews", "short", "unknown", "reviews", "unknown"),
    ],
)
def test_a_peer(account: str, peer: str, workload: str, app: str, version: str) -> None:
    assert labels.of_peer(spiffe(account), peer) == {
        "source_workload": workload,
        "source_workload_namespace": "default",
        "source_principal": spiffe(account),
        "source_app": app,
        "source_version": version,
        "source_canonical_service": app,
    }


def test_a_peer_without_an_identity() -> None:
    assert labels.of_peer("", "reviews-v1-abcde") == labels.UNKNOWN_SOURCE


def test_services() -> None:
    assert labels.of_service(service_cluster()) == {
        "destination_service": "reviews.default.svc.cluster.local",
        "destination_service_name": "reviews",
        "destination_service_namespace": "default",
    }
    outside = labels.of_service(static_cluster(host="api.example.com"))
    assert outside["destination_service_name"] == "api.example.com"
    assert outside["destination_service_namespace"] == "unknown"


def test_an_endpoint_outside_may_name_itself() -> None:
    named = labels.of_static(StaticEndpoint("192.0.2.1", 80, (("app", "a"), ("version", "v1"))))
    assert named["destination_app"] == "a"
    assert named["destination_version"] == "v1"
    assert named["destination_workload"] == "unknown"
