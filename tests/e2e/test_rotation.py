"""A mesh whose certificates live 10 s, with an access log: nobody notices, nothing leaks."""

import json
import socket
import ssl
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509

from tests.support.mesh import Mesh, until
from tests.support.mesh_client import MeshClient, mesh_client
from tests.support.processes import processes_of
from tests.support.secrets_of import leaks, secrets_of
from tests.support.steady_traffic import steady_traffic

pytestmark = pytest.mark.timeout(240)

MOODY = Path(__file__).parents[1] / "support" / "moody_app.py"
SECONDS = 25.0
PER_SECOND = 50.0
POLICY = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: clock}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [clock.test]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: clock}
spec:
  hosts: [clock.test]
  gateways: [clock]
  http: [{name: all, route: [{destination: {host: clock}}]}]
"""
KEYS = {  # https://istio.io/latest/docs/tasks/observability/logs/access-log/
    *("authority", "bytes_received", "bytes_sent", "connection_termination_details", "duration"),
    *("downstream_local_address", "downstream_remote_address", "method", "path", "protocol"),
    *("request_id", "requested_server_name", "response_code", "response_code_details"),
    *("response_flags", "route_name", "start_time", "upstream_cluster", "upstream_host"),
    *("upstream_local_address", "upstream_service_time", "upstream_transport_failure_reason"),
    *("user_agent", "x_forwarded_for"),
}


@pytest.fixture(scope="module")
def brief() -> Iterator[Mesh]:
    with Mesh(options=("--leaf-ttl", "10s", "--access-log", "json")) as mesh:
        mesh.run("clock", "--version", "v1", command=(sys.executable, str(MOODY), "clock"))
        mesh.apply(POLICY)
        yield mesh


@pytest.fixture(scope="module")
def client(brief: Mesh) -> Iterator[MeshClient]:
    with mesh_client(brief, "watch") as client:
        yield client


def serial(address: tuple[str, int]) -> int:
    """Of the certificate that a sidecar shows to whoever begins a handshake."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(address, 5) as plain, context.wrap_socket(plain) as tls:
        shown = tls.getpeercert(binary_form=True)
    assert shown is not None
    return x509.load_der_x509_certificate(shown).serial_number


def test_no_request_fails_while_certificates_change(brief: Mesh, client: MeshClient) -> None:
    address = brief.inbound("clock")
    shown: set[int] = set()
    with steady_traffic(lambda: brief.get("/", "clock.test"), PER_SECOND) as seen:
        until_then = time.monotonic() + SECONDS
        while time.monotonic() < until_then:
            shown.add(serial(address))
            assert client.get("http://clock:9080/watched").status == 200
            time.sleep(0.5)
    assert seen.failures == []
    assert seen.served >= 0.9 * SECONDS * PER_SECOND
    assert len(shown) >= 3


def test_the_access_log_has_istios_keys_and_is_nobody_elses(
    brief: Mesh, client: MeshClient
) -> None:
    assert client.get("http://clock:9080/noted").status == 200
    until(lambda: len(lines(brief, "/noted")) == 2, 15)
    for entry in lines(brief, "/noted"):
        assert entry.keys() == KEYS
        assert (entry["method"], entry["response_code"]) == ("GET", 200)
        assert entry["authority"] == "clock:9080"
    assert brief.get("/entered", "clock.test").status == 200
    until(lambda: len(lines(brief, "/entered")) == 2, 15)
    assert "all" in [entry["route_name"] for entry in lines(brief, "/entered")]
    assert [path for path in logs(brief) if path.stat().st_mode & 0o777 != 0o600] == []


def test_no_secret_is_logged_shown_or_an_argument(brief: Mesh, client: MeshClient) -> None:
    root = brief.home / "default"
    secrets = secrets_of(root) | {client.credential.encode(): Path("http_proxy")}
    assert {path.name for path in secrets.values()} >= {"ticket.key", "nats.json", "operator.json"}
    commands = processes_of(brief.home)
    assert any("nats-server" in command for command in commands.values())
    files = [path for path in (*root.rglob("logs/**/*"), *root.rglob("*.log")) if path.is_file()]
    assert {path.parent.parent.name for path in files} >= {"default"}
    assert any("ray" in path.parts for path in files)

    found = leaks(secrets, "/metrics", brief.metrics().encode())
    for pid, command in commands.items():
        found += leaks(secrets, f"process {pid}", command.encode())
    for path in files:
        found += leaks(secrets, str(path), path.read_bytes())
    assert found == []


def logs(mesh: Mesh) -> list[Path]:
    return list((mesh.home / "default" / "logs").glob("access-*.log*"))


def lines(mesh: Mesh, path: str) -> list[dict[str, object]]:
    """The entries of all access logs for a path."""
    found = [json.loads(line) for log in logs(mesh) for line in log.read_text().splitlines()]
    return [entry for entry in found if entry["path"] == path]
