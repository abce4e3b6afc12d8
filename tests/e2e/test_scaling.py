"""`tulle scale` of gateways, evaluators and collectors, up and down, under traffic.

No request fails, no connection is refused, every policy that is applied meanwhile is applied once,
and the sums of what was counted are exact.
"""

import json
import time
from collections import defaultdict
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.mesh import Mesh, until
from tests.support.processes import processes_of, stopped
from tests.support.steady_traffic import Seen, steady_traffic
from tulle.actors.proxy.cells import DURATION, REQUESTS
from tulle.deploy.demo.actors import pid_of
from tulle.deploy.home import Home

pytestmark = pytest.mark.timeout(240)

HOST = "scaled.test"
POLICY = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: scaled}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [scaled.test]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: scaled}
spec:
  hosts: [scaled.test]
  gateways: [scaled]
  http: [{route: [{destination: {host: scaled}}]}]
"""
ENTRY = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: while-scaled}
spec:
  hosts: [while-scaled.example.com]
  location: MESH_EXTERNAL
  resolution: STATIC
  ports: [{number: %d, name: http, protocol: HTTP}]
  endpoints: [{address: 192.0.2.1}]
"""
PER_SECOND = 60.0


@pytest.fixture(scope="module")
def scaled(mesh: Mesh) -> Iterator[Mesh]:
    """A service behind the ingress; then all is as before."""
    app = mesh.run("scaled")
    mesh.apply(POLICY)
    until(lambda: mesh.get("/", HOST).status == 200, 10)
    yield mesh
    mesh.succeed("delete", "--wait", "gw", "scaled")
    mesh.succeed("delete", "--wait", "vs", "scaled")
    mesh.succeed("scale", "ingress", "1")
    mesh.succeed("scale", "evaluators", "2")
    mesh.succeed("scale", "collectors", "1")
    app.end()


def running(mesh: Mesh, kind: str) -> int:
    """How many actors of a kind there are: Ray names their processes."""
    lines = processes_of(mesh.home).values()
    return sum(line.startswith(f"ray::{kind}") for line in lines)


def counted(mesh: Mesh) -> dict[str, float]:
    """Requests of the service by reporter, and by each histogram."""
    counts: dict[str, float] = defaultdict(float)
    for family in text_string_to_metric_families(mesh.metrics()):
        for sample in family.samples:
            if sample.labels.get("destination_service_name") == "scaled":
                counts[f"{sample.name} {sample.labels['reporter']}"] += sample.value
    return counts


def expect_exact(mesh: Mesh, before: dict[str, float], requests: int) -> None:
    """Each figure has risen by the number of requests that were sent."""
    figures = [f"{n} {r}" for n in (REQUESTS, f"{DURATION}_count") for r in REPORTERS]

    def risen() -> dict[str, float]:
        now = counted(mesh)
        return {figure: now[figure] - before.get(figure, 0) for figure in figures}

    expected = dict.fromkeys(figures, float(requests))
    try:
        until(lambda: risen() == expected, 20)
    except AssertionError:
        assert risen() == expected


REPORTERS = ("source", "destination")


def more(seen: Seen, requests: int) -> None:
    """Returns when that many more were served, or any failed."""
    enough = seen.served + requests
    until(lambda: seen.served >= enough or bool(seen.failures), 30)


def settled(mesh: Mesh) -> dict[str, float]:
    """What is counted, once it changes no more."""
    last = counted(mesh)
    for _ in range(20):
        time.sleep(1.1)  # proxies send each second
        if (now := counted(mesh)) == last:
            return now
        last = now
    raise AssertionError("somebody else asks the service")


def test_all_pools_are_scaled_under_traffic_and_nothing_is_lost(scaled: Mesh) -> None:
    mesh, before, falls = scaled, settled(scaled), []
    with steady_traffic(lambda: mesh.get("/", HOST), PER_SECOND) as seen:
        total = 0.0
        for gateways, evaluators, collectors in ((3, 3, 3), (1, 1, 1), (2, 2, 2), (1, 1, 1)):
            for pool, size in (
                ("ingress", gateways),
                ("evaluators", evaluators),
                ("collectors", collectors),
            ):
                mesh.succeed("scale", pool, str(size))
                now = counted(mesh)[f"{REQUESTS} source"]
                falls += [(pool, size, total, now)] if now < total else []
                total = now
            assert running(mesh, "EvaluatorActor") == evaluators
            assert running(mesh, "CollectorActor") == collectors
            more(seen, 30)
    assert seen.failures == []
    assert falls == [], "a counter that falls looks like a restart"
    expect_exact(mesh, before, seen.served)


def test_a_policy_is_applied_once_while_its_evaluator_goes(scaled: Mesh) -> None:
    mesh = scaled
    with steady_traffic(lambda: mesh.get("/", HOST), PER_SECOND) as seen:
        mesh.succeed("scale", "evaluators", "2")
        pid = pid_of(Home(mesh.home / "default"), "tulle-evaluator-1")
        assert pid is not None
        assert pid is not None
        with stopped(pid):  # so that the other one leads, which is to go
            until(lambda: mesh.status().leader == "tulle-evaluator-2", 15)
        before = mesh.status().revision
        scaling = mesh.start("scaling", "scale", "evaluators", "1")
        took = []
        for port in (8001, 8002, 8003):
            began = time.monotonic()
            assert "while-scaled" in mesh.succeed("apply", "--wait", "-f", "-", text=ENTRY % port)
            took.append(time.monotonic() - began)
        assert scaling.process.wait(30) == 0, scaling.said()
        print(f"applies while the leader leaves: {[f'{one:.1f} s' for one in took]}")
    assert mesh.status().leader == "tulle-evaluator-1"
    (kept,) = json.loads(mesh.succeed("get", "se", "while-scaled", "-o", "json"))
    assert kept["spec"]["ports"][0]["number"] == 8003
    after = mesh.status().revision
    assert before is not None and after is not None and after.number > before.number
    assert seen.failures == []
    mesh.succeed("delete", "--wait", "se", "while-scaled")


def test_a_mesh_keeps_an_evaluator_and_a_collector(scaled: Mesh) -> None:
    for pool in ("evaluators", "collectors"):
        for size in ("0", "9"):
            done = scaled.tulle("scale", pool, size)
            assert done.returncode == 1
            assert f"from 1 to 8 {pool}, not {size}" in done.stderr
    done = scaled.tulle("scale", "egress", "1")
    assert "pools: collectors, evaluators, ingress" in done.stderr
