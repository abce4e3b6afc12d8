"""TCP in a whole mesh: bytes by CONNECT, and how both ends count them."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.mesh import Mesh, until
from tests.support.mesh_client import MeshClient, mesh_client
from tulle.deploy.demo import metrics

pytestmark = pytest.mark.timeout(120)

APP = Path(__file__).parents[1] / "support" / "tcp_echo_app.py"
DATA = bytes(range(256)) * 1000
TCP = {
    "istio_tcp_sent_bytes_total": len(DATA),
    "istio_tcp_received_bytes_total": len(DATA),
    "istio_tcp_connections_opened_total": 1,
    "istio_tcp_connections_closed_total": 1,
}


@pytest.fixture(scope="module")
def client(mesh: Mesh) -> Iterator[MeshClient]:
    app = mesh.run("queue", port="5672/tcp", command=(sys.executable, str(APP)))
    with mesh_client(mesh, "teller") as client:
        yield client
    app.end()


def test_bytes_go_through_a_tunnel_and_both_ends_count_them(mesh: Mesh, client: MeshClient) -> None:
    with client.tunnel("queue:5672") as sock, sock.makefile("rb") as answers:
        for _ in range(2):
            sock.sendall(DATA[: len(DATA) // 2])
            assert answers.read(len(DATA) // 2) == DATA[: len(DATA) // 2]
    for reporter in ("source", "destination"):
        until(lambda which=reporter: counted(mesh, which) == TCP, 15)  # type: ignore[misc]


def counted(mesh: Mesh, reporter: str) -> dict[str, float]:
    """The TCP metrics of what the client and the queue said to each other."""
    wanted = {
        "reporter": reporter,
        "source_principal": "spiffe://cluster.local/ns/default/sa/teller",
        "destination_principal": "spiffe://cluster.local/ns/default/sa/queue",
        "destination_service": "queue.default.svc.cluster.local",
        "connection_security_policy": "unknown" if reporter == "source" else "mutual_tls",
    }
    return {
        sample.name: sample.value
        for sample in metrics.parse(mesh.metrics())
        if sample.name in TCP and wanted.items() <= sample.labels.items()
    }
