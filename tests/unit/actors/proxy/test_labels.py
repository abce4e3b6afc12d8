"""What a peer is called in metrics."""

import pytest

from tulle.actors.proxy import labels
from tulle.policies.config import StaticEndpoint


@pytest.mark.parametrize(
    ("account", "workload_id", "workload", "service", "version"),
    [
        ("reviews", "reviews-v1-abcde", "reviews-v1", "reviews", "v1"),
        ("reviews", "reviews-abcde", "reviews", "reviews", "unknown"),
        ("istio-ingressgateway", "ingress-abcde", "ingress", "ingress", "unknown"),
        ("robot", "my-app-abcde", "my-app", "my-app", "unknown"),
        ("robot", "my-app-v2-abcde", "my-app-v2", "my-app", "v2"),
        ("reviews", "", "unknown", "reviews", "unknown"),
        ("reviews", "nonsense", "unknown", "reviews", "unknown"),
    ],
)
def test_a_peer_is_named_by_its_id_and_proved_account(
    account: str, workload_id: str, workload: str, service: str, version: str
) -> None:
    peer = labels.of_peer(f"spiffe://cluster.local/ns/shop/sa/{account}", workload_id)
    assert peer["source_workload"] == workload
    assert peer["source_canonical_service"] == peer["source_app"] == service
    assert peer["source_version"] == version
    assert peer["source_canonical_revision"] == ("latest" if version == "unknown" else version)
    assert peer["source_workload_namespace"] == "shop"


def test_nobody_is_named_who_proved_nothing() -> None:
    assert labels.of_peer("", "reviews-v1-abcde") == labels.UNKNOWN_SOURCE


def test_nobody_has_no_revision_and_no_cluster() -> None:
    assert labels.UNKNOWN_SOURCE["source_canonical_revision"] == "unknown"
    named = labels.name_clusters(labels.UNKNOWN_SOURCE | labels.UNKNOWN_DESTINATION, "shop")
    assert named["source_cluster"] == named["destination_cluster"] == "unknown"


def test_the_cluster_of_who_is_of_the_mesh_is_the_mesh() -> None:
    peer = labels.of_peer("spiffe://cluster.local/ns/shop/sa/reviews", "reviews-v1-abcde")
    static = labels.of_static(StaticEndpoint("192.0.2.1", 80, labels=(("app", "mail"),)))
    named = labels.name_clusters(peer | static, "shop")
    assert (named["source_cluster"], named["destination_cluster"]) == ("shop", "unknown")
    assert named["destination_app"] == "mail"
    assert named["destination_canonical_revision"] == "latest"
