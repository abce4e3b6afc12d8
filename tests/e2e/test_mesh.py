"""A whole mesh, as a user has it: `tulle up`, `tulle run`, `tulle apply`, real traffic."""

import signal
import socket
import ssl
import sys
from urllib.parse import urlsplit

import pytest
from cryptography import x509

from tests.support.mesh import Mesh, until
from tests.support.processes import is_loopback

pytestmark = pytest.mark.timeout(240)

INGRESS = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: {name}}}
spec:
  selector: {{istio: ingressgateway}}
  servers: [{{port: {{number: 80, name: http, protocol: HTTP}}, hosts: [{name}.test]}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {name}}}
spec:
  hosts: [{name}.test]
  gateways: [{name}]
  http: [{{route: [{{destination: {{host: {name}}}}}]}}]
"""


def inbound(mesh: Mesh, service: str) -> tuple[str, int]:
    """Where a service's first workload is reached by its peers."""
    workload = mesh.workloads(service)[0]
    return workload.address, workload.ports[9080]


@pytest.fixture(scope="module")
def reviews(mesh: Mesh) -> str:
    mesh.run("reviews", "--version", "v1")
    return "reviews"


def test_every_proxy_of_a_fresh_mesh_is_current(mesh: Mesh) -> None:
    (ingress,) = mesh.proxies("gateway")

    assert (ingress.state, ingress.current, ingress.problems) == ("ready", True, [])
    assert any("gateway:80" in listening for listening in ingress.listening)
    assert ingress.id in mesh.succeed("status")


def test_the_ingress_says_why_it_has_no_route(mesh: Mesh) -> None:
    reply = mesh.get("/", "nobody.test")

    assert (reply.status, reply.headers["x-tulle-reason"]) == (404, "no_gateway")


def test_a_client_reaches_a_service_by_its_name(mesh: Mesh, reviews: str) -> None:
    done = mesh.client("curl", "-s", "-w", "\n%{http_code}", f"http://{reviews}:9080/a?b=c")

    body, _, status = done.stdout.rpartition("\n")
    assert (done.returncode, status) == (0, "200"), done
    assert '"name":"reviews"' in body


def test_a_tcp_port_is_reached_through_a_tunnel(mesh: Mesh) -> None:
    mesh.run("db", port="5432/tcp")
    through = mesh.client("curl", "-sS", "--proxytunnel", "http://db:5432/a?b=c")
    assert (through.returncode, '"path":"/a"' in through.stdout) == (0, True), through
    as_http = mesh.client("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "http://db:5432/")
    assert as_http.stdout == "400"


def test_a_service_calls_another(mesh: Mesh, reviews: str) -> None:
    mesh.run("productpage")
    mesh.apply(INGRESS.format(name="productpage"))

    for host in ("reviews", "reviews.default", "reviews.default.svc.cluster.local"):
        reply = mesh.get(f"/call?url=http://{host}:9080/x", "productpage.test")
        assert (reply.status, reply.json["name"]) == (200, "reviews"), reply


def test_apply_opens_a_way_in_and_delete_closes_it(mesh: Mesh, reviews: str) -> None:
    said = mesh.apply(INGRESS.format(name=reviews))

    assert "created VirtualService default/reviews" in said
    reply = mesh.get("/hello", "reviews.test")
    assert (reply.status, reply.json["path"]) == (200, "/hello")
    until(lambda: all(proxy.current for proxy in mesh.status().proxies), 5)

    mesh.succeed("delete", "--wait", "vs", "reviews")
    assert mesh.get("/hello", "reviews.test").status == 404
    mesh.succeed("delete", "--wait", "gw", "reviews")


def test_a_refused_policy_names_file_and_line_and_changes_nothing(mesh: Mesh) -> None:
    before = mesh.status().revision
    done = mesh.tulle("apply", "-f", "-", text=INGRESS.format(name="x").replace("hosts", "hots"))

    assert done.returncode == 1
    assert "stdin:7: error" in done.stderr
    assert "nothing was changed" in done.stderr
    assert mesh.status().revision == before


def test_the_certificate_on_the_wire_is_of_the_service_account(mesh: Mesh, reviews: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(inbound(mesh, reviews), 5) as plain:
        with context.wrap_socket(plain) as tls:
            shown = tls.getpeercert(binary_form=True)
    assert shown is not None
    names = x509.load_der_x509_certificate(shown).extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    uris = names.value.get_values_for_type(x509.UniformResourceIdentifier)
    assert uris == ["spiffe://cluster.local/ns/default/sa/reviews"]


def test_a_plain_connection_to_an_inbound_port_is_closed_without_a_byte(
    mesh: Mesh, reviews: str
) -> None:
    with socket.create_connection(inbound(mesh, reviews), 5) as plain:
        plain.settimeout(10)
        plain.sendall(b"GET / HTTP/1.1\r\nHost: reviews\r\n\r\n")
        try:
            received = plain.recv(1)
        except ConnectionResetError:
            received = b""
    assert received == b""


def test_without_its_credential_a_sidecar_serves_nobody(mesh: Mesh, reviews: str) -> None:
    script = "import os; print(os.environ['http_proxy'], flush=True); import time; time.sleep(600)"
    app = mesh.start_client("snoop", sys.executable, "-c", script)
    until(lambda: "http://" in app.said(), 60)
    proxy = urlsplit(app.said().strip())
    for user in ("", "user:wrong@"):
        done = mesh.plain(
            "curl", "-s", "-i", "-x", f"http://{user}127.0.0.1:{proxy.port}", "http://reviews:9080/"
        )
        assert done.stdout.startswith("HTTP/1.1 407"), done
        assert "proxy-authenticate: basic" in done.stdout.lower()
    done = mesh.plain("curl", "-s", "-i", "-x", proxy.geturl(), "http://reviews:9080/")
    assert done.stdout.startswith("HTTP/1.1 200"), done
    app.end()


def test_a_workload_that_ends_is_no_endpoint_any_more(mesh: Mesh) -> None:
    app = mesh.run("brief")
    assert app.end() == 128 + signal.SIGTERM
    assert mesh.workloads("brief") == []
    assert not [proxy for proxy in mesh.proxies("sidecar") if proxy.service == "brief"]

    done = mesh.client("curl", "-s", "-i", "http://brief:9080/")
    assert done.stdout.startswith("HTTP/1.1 503"), done
    assert "x-tulle-reason: no_endpoints" in done.stdout.lower()


def test_a_workload_whose_run_is_killed_is_taken_back(mesh: Mesh) -> None:
    app = mesh.run("killed")
    app.end(signal.SIGKILL)

    until(lambda: mesh.workloads("killed") == [], 15)


def test_run_passes_exit_statuses_on(mesh: Mesh) -> None:
    done = mesh.client("sh", "-c", "exit 3")
    assert (done.returncode, done.stdout, done.stderr) == (3, "", "")
    assert mesh.client("sh", "-c", "kill -KILL $$").returncode == 128 + signal.SIGKILL
    assert mesh.client("/no/such/command").returncode == 125


def test_a_second_account_for_a_service_is_refused(mesh: Mesh, reviews: str) -> None:
    done = mesh.tulle("run", reviews, "--service-account", "mallory", "--port", "0:9080", "--", "x")

    assert done.returncode == 125
    assert "reviews" in done.stderr and "mallory" in done.stderr


def test_the_ingress_scales_and_shrinks(mesh: Mesh) -> None:
    mesh.succeed("scale", "ingress", "3")
    assert [proxy.state for proxy in mesh.proxies("gateway")] == ["ready"] * 3
    assert {mesh.get("/", "nobody.test").status for _ in range(30)} == {404}

    mesh.succeed("scale", "ingress", "1")
    until(lambda: len(mesh.proxies("gateway")) == 1, 40)
    assert mesh.get("/", "nobody.test").status == 404


def test_services_outlive_their_workloads(mesh: Mesh, reviews: str) -> None:
    listed = mesh.succeed("services")

    assert reviews in listed


def test_metrics_are_on_the_http_port(mesh: Mesh, reviews: str) -> None:
    mesh.client("curl", "-s", "http://reviews:9080/")

    def counted() -> bool:
        said = mesh.plain("curl", "-s", f"{mesh.file.http}/metrics").stdout
        return 'destination_service_name="reviews"' in said

    until(counted, 15)


def test_a_second_up_is_refused(mesh: Mesh) -> None:
    done = mesh.tulle("up", "--ingress-port", "0", "--http-port", "0")

    assert done.returncode == 1
    assert "already runs this mesh" in done.stderr


def test_nothing_of_ours_listens_beyond_loopback(mesh: Mesh, reviews: str) -> None:
    listening = mesh.listening()

    ports = {int(address.rpartition(":")[2], 16) for address in listening}
    expected = {urlsplit(mesh.file.nats_url).port, int(mesh.file.ingress.rpartition(":")[2])}
    assert expected | {inbound(mesh, reviews)[1]} <= ports  # or nothing was looked at
    assert [address for address in listening if not is_loopback(address)] == []
