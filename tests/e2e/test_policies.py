"""Policies in a whole mesh: who may call whom, what a route does, whom a client stops asking."""

import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.mesh import Mesh, Reply, until
from tests.support.mesh_client import MeshClient, mesh_client
from tulle.deploy.demo import metrics

pytestmark = pytest.mark.timeout(180)

MOODY = Path(__file__).parents[1] / "support" / "moody_app.py"
URL = "http://stock:9080"
ONLY_ALICE = """
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: only-alice}
spec:
  selector: {matchLabels: {app: stock}}
  rules: [{from: [{source: {principals: [cluster.local/ns/default/sa/alice]}}]}]
"""
PEERS = """
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {{name: stock}}
spec:
  selector: {{matchLabels: {{app: stock}}}}
  mtls: {{mode: {mode}}}
"""
ROUTES = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: stock}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [stock.test]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: stock}
spec:
  hosts: [stock.test, stock]
  gateways: [stock, mesh]
  http:
    - match: [{uri: {prefix: /aborted}}]
      fault: {abort: {httpStatus: 418, percentage: {value: 100}}}
      route: [{destination: {host: stock}}]
    - match: [{uri: {prefix: /late}}]
      fault: {delay: {fixedDelay: 700ms, percentage: {value: 100}}}
      route: [{destination: {host: stock}}]
    - match: [{uri: {prefix: /slow/1}}]
      timeout: 300ms
      route: [{destination: {host: stock}}]
    - match: [{uri: {prefix: /fail}}]
      retries: {attempts: 3, retryOn: 5xx}
      route: [{destination: {host: stock}}]
    - match: [{uri: {prefix: /edited}}]
      rewrite: {uri: /rewritten}
      headers:
        request: {set: {x-set: by-route}, remove: [x-removed]}
        response: {add: {x-answer: by-route}, remove: [content-type]}
      route: [{destination: {host: stock}}]
    - match: [{uri: {exact: /old}}]
      redirect: {uri: /new, authority: shop.test, redirectCode: 308}
    - match: [{uri: {exact: /said}}]
      directResponse: {status: 203, body: {string: by the proxy}}
    - route: [{destination: {host: stock}}]
"""
NARROW = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: stock}
spec:
  host: stock
  trafficPolicy:
    connectionPool: {tcp: {maxConnections: 1}, http: {http1MaxPendingRequests: 1}}
"""
EJECTING = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: stock}
spec:
  host: stock
  trafficPolicy:
    outlierDetection: {consecutive5xxErrors: 3, baseEjectionTime: 5m, maxEjectionPercent: 50}
"""


@pytest.fixture(scope="module")
def stock(mesh: Mesh) -> Iterator[None]:
    app = mesh.run("stock", "--version", "v1", command=(sys.executable, str(MOODY), "v1"))
    yield
    app.end()


@pytest.fixture(scope="module")
def alice(mesh: Mesh, stock: None) -> Iterator[MeshClient]:
    with mesh_client(mesh, "alice") as client:
        yield client


@pytest.fixture(scope="module")
def routes(mesh: Mesh, alice: MeshClient) -> Iterator[None]:
    mesh.apply(ROUTES)
    yield
    mesh.succeed("delete", "--wait", "vs", "stock")
    mesh.succeed("delete", "--wait", "gw", "stock")


@pytest.fixture(params=["gateway", "sidecar"])
def ask(request: pytest.FixtureRequest, mesh: Mesh, alice: MeshClient, routes: None) -> "Ask":
    return Ask(mesh if request.param == "gateway" else alice)


class Ask:
    """The same requests, to the gateway or by a client's sidecar."""

    def __init__(self, by: Mesh | MeshClient) -> None:
        self.by = by

    def __call__(self, path: str, **headers: str) -> Reply:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        if isinstance(self.by, Mesh):
            return self.by.get(path, "stock.test", given)
        return self.by.get(URL + path, given)


def test_only_the_account_of_the_rule_may_call(mesh: Mesh, alice: MeshClient) -> None:
    with mesh_client(mesh, "bob") as bob:
        assert [who.get(URL).status for who in (alice, bob)] == [200, 200]
        mesh.apply(ONLY_ALICE)
        denied = bob.get(URL)
        assert (denied.status, denied.headers["x-tulle-reason"]) == (403, "rbac_denied")
        said = denied.body.decode()
        assert "spiffe://cluster.local/ns/default/sa/bob is not allowed" in said
        assert "only-alice allows" in said
        assert alice.get(URL).status == 200
        mesh.succeed("delete", "--wait", "authorizationpolicy", "only-alice")
        assert bob.get(URL).status == 200


def test_plain_clients_are_let_in_by_permissive_alone(mesh: Mesh, alice: MeshClient) -> None:
    address, port = mesh.inbound("stock")

    def plainly() -> str:
        command = ("curl", "-s", "-m", "10", "-o", "/dev/null", "-w", "%{http_code}")
        return mesh.plain(*command, f"http://{address}:{port}/").stdout

    assert plainly() == "000"
    mesh.apply(PEERS.format(mode="PERMISSIVE"))
    assert (plainly(), alice.get(URL).status) == ("200", 200)
    mesh.apply(ONLY_ALICE)  # whoever shows no certificate is nobody
    assert (plainly(), alice.get(URL).status) == ("403", 200)
    mesh.succeed("delete", "--wait", "authorizationpolicy", "only-alice")
    mesh.apply(PEERS.format(mode="STRICT"))
    assert (plainly(), alice.get(URL).status) == ("000", 200)
    mesh.succeed("delete", "--wait", "peerauthentication", "stock")


def test_a_fault_aborts(ask: Ask) -> None:
    reply = ask("/aborted")
    assert (reply.status, reply.headers["x-tulle-reason"]) == (418, "fault_injected")


def test_a_fault_delays(ask: Ask) -> None:
    began = time.monotonic()
    assert ask("/late").status == 200
    assert time.monotonic() - began >= 0.7


def test_a_route_has_a_timeout(ask: Ask) -> None:
    reply = ask("/slow/1")
    assert (reply.status, reply.headers["x-tulle-reason"]) == (504, "route_timeout")


def test_a_failing_app_is_tried_again(ask: Ask) -> None:
    key = type(ask.by).__name__
    healed = ask(f"/fail/{key}/3")
    assert (healed.status, healed.json["came"]) == (200, 4)
    given_up = ask(f"/fail/{key}/9")
    assert (given_up.status, given_up.json["came"]) == (503, 4)


def test_headers_and_paths_are_edited(ask: Ask) -> None:
    reply = ask("/edited", x_set="by client", x_removed="1", x_kept="2")
    headers = reply.json["headers"]
    assert isinstance(headers, dict)
    assert (headers["x-set"], headers["x-kept"]) == ("by-route", "2")
    assert "x-removed" not in headers
    assert reply.headers["x-answer"] == "by-route"
    assert "content-type" not in reply.headers
    assert reply.json["path"] == "/rewritten"


def test_a_route_redirects(ask: Ask) -> None:
    reply = ask("/old")
    assert (reply.status, reply.headers["location"]) == (308, "http://shop.test/new")


def test_a_route_answers(ask: Ask) -> None:
    reply = ask("/said")
    assert (reply.status, reply.body) == (203, b"by the proxy")


def test_a_full_connection_pool_refuses_and_is_counted(mesh: Mesh, alice: MeshClient) -> None:
    mesh.apply(NARROW)
    with ThreadPoolExecutor(6) as threads:
        replies = list(threads.map(lambda _: alice.get(f"{URL}/slow/0.25"), range(6)))
    mesh.succeed("delete", "--wait", "dr", "stock")

    refused = [reply for reply in replies if reply.status == 503]
    assert len(refused) >= 2
    assert {r.headers["x-tulle-reason"] for r in refused} <= {
        "pending_overflow",
        "upstream_overflow",
    }
    assert {reply.status for reply in replies} == {200, 503}
    labels = {"reporter": "source", "source_app": "alice", "response_flags": "UO"}
    until(lambda: requests(mesh, **labels) == len(refused), 15)


def test_a_workload_that_answers_503_is_ejected(mesh: Mesh, alice: MeshClient) -> None:
    mesh.apply(EJECTING)
    broken = mesh.run("stock", "--version", "v2", command=(sys.executable, str(MOODY), "v2", "503"))
    seen = [0]

    def ejected() -> bool:
        seen[0] += alice.get(URL).status == 503
        return seen[0] == 3

    until(ejected, 30)
    assert [alice.get(URL).status for _ in range(40)] == [200] * 40
    broken.end()
    mesh.succeed("delete", "--wait", "dr", "stock")


def requests(mesh: Mesh, **labels: str) -> float:
    """How many were counted with these labels."""
    return sum(
        sample.value
        for sample in metrics.parse(mesh.metrics())
        if sample.name == metrics.REQUESTS and labels.items() <= sample.labels.items()
    )
