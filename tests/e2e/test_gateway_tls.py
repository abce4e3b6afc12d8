"""HTTPS at the gateway with credentials of the mesh, and TLS that a sidecar originates."""

import json
import socket
import ssl
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509

from tests.support.mesh import Mesh, until
from tests.support.mesh_client import mesh_client
from tests.support.tls_server import tls_server
from tests.support.web_ca import WebCA

pytestmark = pytest.mark.timeout(180)

HOST = "tls.shop.test"
MOODY = Path(__file__).parents[1] / "support" / "moody_app.py"
GATEWAY = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: tls}}
spec:
  selector: {{istio: ingressgateway}}
  servers:
    - port: {{number: 443, name: https, protocol: HTTPS}}
      hosts: [tls.shop.test]
      tls: {{mode: {mode}, credentialName: tls-shop}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: tls}}
spec:
  hosts: [tls.shop.test]
  gateways: [tls]
  http: [{{route: [{{destination: {{host: tls-shop}}}}]}}]
"""
OUTSIDE = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: outside}}
spec:
  hosts: [outside.test]
  location: MESH_EXTERNAL
  resolution: STATIC
  ports: [{{number: 443, name: https, protocol: HTTPS}}]
  endpoints: [{{address: 127.0.0.1, ports: {{https: {port}}}}}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: outside}}
spec:
  host: outside.test
  trafficPolicy: {{tls: {{mode: SIMPLE, caCertificates: {ca}, sni: outside.test}}}}
"""


@pytest.fixture(scope="module")
def authority() -> WebCA:
    return WebCA()


@pytest.fixture(scope="module")
def port(mesh: Mesh, authority: WebCA, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Where the gateway serves HTTPS."""
    app = mesh.run("tls-shop", command=(sys.executable, str(MOODY), "tls-shop"))
    add_credential(mesh, authority, tmp_path_factory.mktemp("first"))
    mesh.apply(GATEWAY.format(mode="SIMPLE"))
    yield tls_port(mesh)
    mesh.succeed("delete", "--wait", "vs", "tls")
    mesh.succeed("delete", "--wait", "gw", "tls")
    app.end()


def tls_port(mesh: Mesh) -> int:
    (gateway,) = mesh.proxies("gateway")
    (address,) = [it for it in gateway.listening if it.startswith("gateway:443 ")]
    return int(address.rpartition(":")[2])


def add_credential(mesh: Mesh, authority: WebCA, folder: Path) -> None:
    cert, key, ca = authority.files(folder, HOST)
    mesh.succeed("credential", "add", "tls-shop", "--cert", cert, "--key", key, "--ca", ca)


def serial(port: int, context: ssl.SSLContext, name: str = HOST) -> int:
    """Of the certificate that the gateway shows for a name."""
    with (
        socket.create_connection(("127.0.0.1", port), 10) as plain,
        context.wrap_socket(plain, server_hostname=name) as tls,
    ):
        shown = tls.getpeercert(binary_form=True)
    assert shown is not None
    return x509.load_der_x509_certificate(shown).serial_number


def curl(mesh: Mesh, port: int, authority: WebCA, folder: Path, *options: str) -> tuple[int, str]:
    """Exit status of curl, and what it got of https://tls.shop.test/."""
    (folder / "trusted.pem").write_text(authority.ca_pem)
    place = ("--connect-to", f"{HOST}:443:127.0.0.1:{port}", "--cacert", folder / "trusted.pem")
    done = mesh.plain("curl", "-sS", "-m", "10", *map(str, place), *options, f"https://{HOST}/a")
    return done.returncode, done.stdout


def test_curl_is_served_over_tls(mesh: Mesh, port: int, authority: WebCA, tmp_path: Path) -> None:
    status, body = curl(mesh, port, authority, tmp_path)
    assert status == 0
    headers = json.loads(body)["headers"]
    assert (headers["host"], headers["x-forwarded-proto"]) == (HOST, "https")


def test_another_name_is_refused(port: int, authority: WebCA) -> None:
    with pytest.raises((ssl.SSLError, ConnectionResetError)):
        serial(port, authority.client(), "other.shop.test")
    assert serial(port, authority.client())


def test_a_credential_that_is_replaced_is_shown_without_an_apply(
    mesh: Mesh, port: int, authority: WebCA, tmp_path: Path
) -> None:
    before = serial(port, authority.client())
    revision = mesh.status().revision
    add_credential(mesh, authority, tmp_path)
    until(lambda: serial(port, authority.client()) != before, 10)
    assert mesh.status().revision == revision


def test_no_answer_shows_a_key(mesh: Mesh, port: int) -> None:
    for form in ("table", "json"):
        said = mesh.succeed("credential", "list", "-o", form)
        assert HOST in said
        assert "PRIVATE" not in said and "key" not in said.lower()


def test_mutual_asks_for_a_certificate(
    mesh: Mesh, port: int, authority: WebCA, tmp_path: Path
) -> None:
    mesh.apply(GATEWAY.format(mode="MUTUAL"))
    assert curl(mesh, port, authority, tmp_path)[0] != 0
    for signer, served in ((authority, True), (WebCA(), False)):
        cert, key, _ = signer.files(tmp_path, "user")
        status, body = curl(mesh, port, authority, tmp_path, "--cert", cert, "--key", key)
        assert (status == 0, '"tls-shop"' in body) == (served, served)
    mesh.apply(GATEWAY.format(mode="SIMPLE"))
    assert curl(mesh, port, authority, tmp_path)[0] == 0


def test_a_deleted_credential_is_a_problem_in_the_status(
    mesh: Mesh, port: int, authority: WebCA, tmp_path: Path
) -> None:
    mesh.succeed("credential", "delete", "tls-shop")
    until(lambda: any("credential tls-shop is not there" in it for it in problems(mesh)), 10)
    assert curl(mesh, port, authority, tmp_path)[0] != 0
    add_credential(mesh, authority, tmp_path)
    until(lambda: problems(mesh) == [], 10)
    assert curl(mesh, port, authority, tmp_path)[0] == 0
    mesh.succeed("credential", "delete", "tls-shop")


def problems(mesh: Mesh) -> list[str]:
    return mesh.proxies("gateway")[0].problems


def test_a_sidecar_originates_tls(mesh: Mesh, authority: WebCA, tmp_path: Path) -> None:
    strange = tmp_path / "strange.pem"
    strange.write_text(WebCA().ca_pem)
    ca = tmp_path / "ca.pem"
    with (
        tls_server(authority.server(tmp_path, "outside.test")) as port,
        mesh_client(mesh, "sleep") as client,
    ):
        mesh.apply(OUTSIDE.format(port=port, ca=ca))
        reply = client.get("http://outside.test:443/")
        assert (reply.status, reply.body) == (200, b"outside.test")
        mesh.apply(OUTSIDE.format(port=port, ca=strange))
        refused = client.get("http://outside.test:443/")
        assert (refused.status, refused.headers["x-tulle-reason"]) == (503, "upstream_tls_failed")
    mesh.succeed("delete", "--wait", "dr", "outside")
    mesh.succeed("delete", "--wait", "se", "outside")
