"""Step 1's check that servers saw each request come from the identity that its client proved."""

import pytest

from tulle.deploy.demo.metrics import REQUESTS, Sample
from tulle.deploy.demo.steps.identity import CLIENTS, unproven

SENT = {
    ("ingress", "productpage"): 7,
    ("productpage", "details"): 7,
    ("productpage", "reviews"): 7,
    ("reviews", "ratings"): 4,
}
Edge = tuple[str, str]


def source(edge: Edge, count: int) -> Sample:
    client, server = edge
    labels = {"source_canonical_service": client, "destination_service_name": server}
    return Sample(REQUESTS, labels | {"reporter": "source"}, count)


def destination(principal: str, server: str, count: int) -> Sample:
    labels = {"source_principal": principal, "destination_service_name": server}
    # What a proxy that checks nothing would write as well: it must not count.
    labels |= {"reporter": "destination", "connection_security_policy": "mutual_tls"}
    return Sample(REQUESTS, labels, count)


def samples(**arrived: tuple[str, int]) -> list[Sample]:
    """Both reporters' series; `arrived` replaces principal and count at a server."""
    theirs = {server: (CLIENTS[client], sent) for (client, server), sent in SENT.items()} | arrived
    return [source(edge, sent) for edge, sent in SENT.items()] + [
        destination(principal, server, count) for server, (principal, count) in theirs.items()
    ]


def test_all_is_proven_when_both_ends_count_the_same_under_the_clients_identity() -> None:
    assert unproven(samples()) == []


@pytest.mark.parametrize("principal", ["unknown", CLIENTS["productpage"], CLIENTS["ingress"]])
def test_requests_of_another_identity_are_named(principal: str) -> None:
    assert unproven(samples(ratings=(principal, 4))) == sorted(
        [
            f"{CLIENTS['reviews']} -> ratings: 0 arrived, 4 sent",
            f"{principal} -> ratings: 4 arrived, 0 sent",
        ]
    )


@pytest.mark.parametrize("count", [3, 5])
def test_one_more_or_less_than_was_sent_is_said(count: int) -> None:
    said = [f"{CLIENTS['reviews']} -> ratings: {count} arrived, 4 sent"]
    assert unproven(samples(ratings=(CLIENTS["reviews"], count))) == said


def test_an_edge_without_requests_proves_nothing() -> None:
    assert len(unproven([])) == len(SENT)
