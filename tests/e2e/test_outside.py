"""A mesh on a NATS that others run, with TLS, and on a Ray cluster that was started apart, with two
raylets on this machine: placement, a watcher that is killed and started again, and `down`.
"""

import json
import os
import signal
import stat
import time
from collections.abc import Iterator

import pytest

from tests.support.mesh import FREE_PORTS, Reply, until
from tests.support.outside import OutsideMesh
from tests.support.processes import is_loopback, processes_of
from tests.support.steady_traffic import steady_traffic
from tulle.deploy import processes

pytestmark = pytest.mark.timeout(240)

PER_SECOND = 40
GATEWAY = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: front}
spec:
  selector: {istio: ingressgateway}
  servers:
  - port: {number: 80, name: http, protocol: HTTP}
    hosts: ["*"]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: front}
spec:
  hosts: ["*"]
  gateways: [front]
  http:
  - route: [{destination: {host: one}}]
"""


@pytest.fixture(scope="module")
def outside() -> Iterator[OutsideMesh]:
    with OutsideMesh() as mesh:
        yield mesh


def test_the_whole_life_of_a_mesh_on_what_others_run(outside: OutsideMesh) -> None:
    mesh = outside
    assert _nodes(mesh) == sorted(mesh.nodes), "one agent per raylet"
    assert "proxies end about 60 s after Ray's head does" in mesh.up.said()
    assert not mesh.layout.children().processes.keys() & {"nats"}, "no server of our own"

    # Placement: a sidecar is where its workload is, whichever raylet that is.
    for node, raylet, service in zip(mesh.nodes, mesh.raylets, ("one", "two"), strict=True):
        mesh.run_on(node, service)
        [workload] = mesh.workloads(service)
        assert mesh.raylet_of(mesh.process_of(workload.id)) == raylet, service
    mesh.apply(GATEWAY)
    assert _served(mesh).status == 200
    done = mesh.client("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "http://two:9080/")
    assert done.stdout == "200", done
    outward = [one for one in mesh.listening() if not is_loopback(one)]
    assert outward == [], "all on loopback"
    _check_secrets(mesh)

    # The watcher is killed: traffic goes on without it, and with the next one.
    proxies = {proxy.id: mesh.process_of(proxy.id) for proxy in mesh.status().proxies}
    actors = mesh.actors()
    on_the_other = {pid for pid in actors if mesh.raylet_of(pid) == mesh.raylets[1]}
    with steady_traffic(lambda: _served(mesh), PER_SECOND) as seen:
        mesh.up.process.send_signal(signal.SIGKILL)
        mesh.up.process.wait()
        before = seen.served
        until(lambda: seen.served >= before + PER_SECOND, 20)
        mesh.layout.mesh_file.unlink()
        mesh.start_up(*mesh.same_ports())
        before = seen.served
        until(lambda: seen.served >= before + 3 * PER_SECOND, 20)
    print(f"served {seen.served}, failed {len(seen.failures)}: {seen.failures[:5]}")
    assert seen.failures == []
    assert {proxy.id: mesh.process_of(proxy.id) for proxy in mesh.status().proxies} == proxies
    assert mesh.actors() == actors, "found, not started again"
    assert _states(mesh) == ["ready", "ready"]
    mesh.apply(GATEWAY.replace("host: one", "host: two"))
    assert json.loads(_served(mesh).body)["name"] == "two"
    assert "istio_requests_total{" in mesh.metrics()

    # A raylet dies, with the control plane and the gateway on it: all is back on the other.
    os.kill(mesh.raylets[0], signal.SIGKILL)
    began = time.monotonic()
    until(lambda: not _runs(mesh.raylets[0]) and not mesh.actors() & actors - on_the_other, 20)
    until(lambda: mesh.tulle("status").returncode == 0 and _answers(mesh), 45)
    print(f"back {time.monotonic() - began:.1f} s after the death of a raylet")
    assert _nodes(mesh) == [mesh.nodes[1]]
    assert {mesh.raylet_of(pid) for pid in mesh.actors()} == {mesh.raylets[1]}
    until(lambda: _states(mesh) == ["ready", "ready"], 30)

    # What was started elsewhere is not taken for another mesh, or left behind.
    mesh.up.end(signal.SIGINT)
    assert "the actors stay in Ray" in mesh.up.said()
    refused = mesh.tulle("up")
    assert refused.returncode == 1 and "`tulle down`" in refused.stderr, refused
    for app in mesh.apps:
        app.end()
    said = mesh.succeed("down")
    assert "ended" in said and mesh.ray_address in said
    until(lambda: not mesh.actors(), 15)
    assert _nodes(mesh) == []
    assert mesh.nats.poll() is None and _runs(mesh.raylets[1]), "theirs is left alone"
    assert mesh.tulle("down").returncode == 4
    nobody = mesh.tulle("up", *FREE_PORTS, *mesh.options_outside[:-1], "127.0.0.1:1")
    assert nobody.returncode == 1 and "no Ray at 127.0.0.1:1: Connection refused" in nobody.stderr


def _served(mesh: OutsideMesh) -> Reply:
    return mesh.get("/", "shop.test")


def _answers(mesh: OutsideMesh) -> bool:
    try:
        return _served(mesh).status == 200
    except OSError:
        return False


def _states(mesh: OutsideMesh) -> list[str]:
    return [w.state for name in ("one", "two") for w in mesh.workloads(name)]


def _nodes(mesh: OutsideMesh) -> list[str]:
    return sorted(path.stem for path in mesh.layout.nodes.glob("*.json"))


def _runs(pid: int) -> bool:
    return processes.find(pid) is not None


def _check_secrets(mesh: OutsideMesh) -> None:
    """None in the printed configuration or on a command line; files are their owner's."""
    keys = json.loads((mesh.layout.nats / "keys.json").read_bytes())
    seeds = list(keys.values())
    for path in mesh.layout.creds.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
        if path.suffix == ".json":
            seeds.append(json.loads(path.read_bytes())["seed"])
    seen = (mesh.home / "n" / "nats.conf").read_text() + " ".join(processes_of(mesh.home).values())
    assert not [seed for seed in seeds if seed in seen]
