"""What a peer is called in metrics."""

import pytest

from tulle.actors.proxy import labels


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
    assert peer["source_workload_namespace"] == "shop"


def test_nobody_is_named_who_proved_nothing() -> None:
    assert labels.of_peer("", "reviews-v1-abcde") == labels.UNKNOWN_SOURCE
