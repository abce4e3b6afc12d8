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

from tests.support import secret_places
from tests.support.gateway_certificates import certificate_pem, key_pem, make_key
from tests.support.mesh import Mesh, until
from tests.support.mesh_client import MeshClient, mesh_client
from tests.support.processes import processes_of
from tests.support.secrets_of import Secrets, open_to_others, secrets_of, secrets_of_file
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
HTTPS = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: till}
spec:
  selector: {istio: ingressgateway}
  servers:
  - port: {number: 443, name: https, protocol: HTTPS}
    hosts: [till.test]
    tls: {mode: SIMPLE, credentialName: till}
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


@pytest.fixture(scope="module")
def secrets(brief: Mesh, client: MeshClient, tmp_path_factory: pytest.TempPathFactory) -> Secrets:
    """All of this mesh, with those of a gateway's certificate and of a runner that are in use."""
    folder = tmp_path_factory.mktemp("user")
    key = make_key()
    (folder / "till.pem").write_text(certificate_pem(key, "till.test", begins=time.time() - 60))
    (folder / "till.key").write_text(key_pem(key))
    pair = ("--cert", str(folder / "till.pem"), "--key", str(folder / "till.key"))
    brief.succeed("credential", "add", "till", *pair)
    brief.apply(HTTPS)
    brief.succeed(
        "runner", "add", "ci", "--service-account", "guest", "-o", str(folder / "ci.json")
    )
    guest = brief.tulle(
        *("run", "visitor", "--creds", str(folder / "ci.json"), "--service-account", "guest"),
        *("--", "true"),
    )
    assert guest.returncode == 0, guest
    root = brief.home / "default"
    found = secrets_of(root)
    names = {Path(place).name for place in found.values()}
    assert names >= {"ticket.key", "ray.token", "keys.json", "nats.json", "identity.json"}
    return (
        found
        | secrets_of_file(folder / "till.key")
        | secrets_of_file(folder / "ci.json")
        | {client.credential.encode(): "http_proxy of watch"}
    )


def test_no_secret_is_in_a_log_or_another_file(brief: Mesh, secrets: Secrets) -> None:
    names = {path.name.partition("-")[0] for path in secret_places.files(brief)}
    assert names >= {"access", "mesh.json", "gcs_server.out", "nats.log"}
    brief.apps = [app for app in brief.apps if not app.name.startswith("watch")]  # says its own
    assert secret_places.in_files(brief, secrets) == []


def test_no_secret_is_an_argument_or_in_the_environment_of_another(
    brief: Mesh, secrets: Secrets
) -> None:
    commands = processes_of(brief.home).values()
    for part in ("nats-server", "raylet", "gcs_server", "moody_app", "tulle.deploy.local"):
        assert any(part in command for command in commands), part
    assert secret_places.in_processes(brief, secrets) == []


def test_no_secret_is_in_metrics_or_an_answer(brief: Mesh, secrets: Secrets) -> None:
    assert secret_places.in_answers(brief, secrets) == []


def test_no_secret_is_in_what_is_said_of_a_broken_file(
    brief: Mesh, secrets: Secrets, tmp_path: Path
) -> None:
    files = {Path(place) for place in secrets.values()}
    (runner,) = (path for path in files if path.name == "ci.json")
    (key,) = (path for path in files if path.name == "till.key")
    assert secret_places.in_errors(brief, secrets, runner, key, tmp_path) == []


def test_nothing_of_the_mesh_is_open_to_others(brief: Mesh, secrets: Secrets) -> None:
    assert open_to_others(brief.home / "default", ["ray"]) == []


def logs(mesh: Mesh) -> list[Path]:
    return list((mesh.home / "default" / "logs").glob("access-*.log*"))


def lines(mesh: Mesh, path: str) -> list[dict[str, object]]:
    """The entries of all access logs for a path."""
    found = [json.loads(line) for log in logs(mesh) for line in log.read_text().splitlines()]
    return [entry for entry in found if entry["path"] == path]
