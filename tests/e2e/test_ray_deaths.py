"""Ray dies, in part or as a whole, under traffic: all is back soon, and nobody is refused.

The watcher's own death is told apart: with it go the ingress sockets, until `tulle up` is there
again; `tulle run` holds those of its sidecar all the while.
"""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.support.mesh import FREE_PORTS, Mesh, until
from tests.support.outage import PER_SECOND, Traffic, free_port, from_caller, to_ingress
from tulle.deploy import processes
from tulle.deploy.home import Home

pytestmark = pytest.mark.timeout(240)

HARD_LIMIT_SECONDS = 45.0
KILLING_SECONDS = 2.0
"""For all of Ray to be gone once a part of it is: what its proxies accepted by then is lost."""

POLICY = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: shop}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [shop.test]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop}
spec:
  hosts: [shop.test]
  gateways: [shop]
  http: [{route: [{destination: {host: shop}}]}]
"""


@pytest.fixture(scope="module")
def mesh() -> Iterator[Mesh]:
    """On ports that the next `tulle up` takes again."""
    ports = ("--ingress-port", str(free_port()), "--http-port", str(free_port()))
    with Mesh(options=ports) as mesh:
        mesh.run("shop", "--version", "v1")
        mesh.apply(POLICY)
        mesh.succeed("scale", "ingress", "2")
        yield mesh


@pytest.fixture(scope="module")
def streams(mesh: Mesh) -> Iterator[list[Traffic]]:
    """Traffic from outside and from a workload, all the time."""
    with ExitStack() as stack:
        inside = stack.enter_context(from_caller(mesh, "shop:9080"))
        outside = stack.enter_context(to_ingress(mesh, "shop.test"))
        until(lambda: len(outside.served_after(0)) > 10, 30)
        yield [outside, inside]


def ray_host(mesh: Mesh) -> processes.Process:
    return Home(mesh.home / "default").children().processes["ray"]


def part_of_ray(mesh: Mesh, name: str) -> int:
    """The pid of a process that the Ray host started, by its program's name."""
    pids = processes.members(ray_host(mesh))
    [pid] = [one for one in pids if os.readlink(f"/proc/{one}/exe").endswith(f"/{name}")]
    return pid


VICTIMS: dict[str, Callable[[Mesh], int]] = {
    "raylet": lambda mesh: part_of_ray(mesh, "raylet"),
    "gcs_server": lambda mesh: part_of_ray(mesh, "gcs_server"),
    "Ray host": lambda mesh: ray_host(mesh).pid,
}


@pytest.mark.parametrize("victim", VICTIMS)
def test_all_is_back_and_only_requests_in_flight_are_lost(
    mesh: Mesh, streams: list[Traffic], victim: str
) -> None:
    before, pid = ray_host(mesh), VICTIMS[victim](mesh)
    killed = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    new = mesh.start_client("newcomer", "true")  # it waits as well

    gone = killed + KILLING_SECONDS
    until(lambda: all(one.served_after(gone) for one in streams), HARD_LIMIT_SECONDS)
    assert ray_host(mesh) != before and not processes.members(before)
    back = time.monotonic()
    until(lambda: all(len(one.served_after(back)) > 20 for one in streams), 15)
    for stream in streams:
        lost = [one for one in stream.failed() if one.ended > killed]
        seconds = stream.back_after(gone) + KILLING_SECONDS
        print(f"{victim}, {stream.name}: back after {seconds:.1f} s, {len(lost)} lost")
        assert [one for one in lost if one.problem == "refused"] == []
        assert [one for one in lost if one.began > gone] == []
        assert len(lost) <= PER_SECOND / 2
    assert new.process.wait(30) == 0, new.said()
    # Who changes something now is heard by proxies that are new.
    mesh.apply(POLICY.replace("spec:\n  hosts", f"  # {victim}\nspec:\n  hosts"))
    assert [proxy.state for proxy in mesh.proxies("gateway")] == ["ready", "ready"]


def test_after_the_watcher_the_next_up_finds_everything(mesh: Mesh, streams: list[Traffic]) -> None:
    outside, inside = streams
    workload, gateways = mesh.workloads("shop"), [one.id for one in mesh.proxies("gateway")]
    left = Home(mesh.home / "default").children().processes
    killed = time.monotonic()
    mesh.up.process.kill()
    mesh.up.process.wait()

    mesh.up = mesh.start("up-again", "up", *FREE_PORTS, *mesh.options)
    gone = killed + KILLING_SECONDS
    until(lambda: all(one.served_after(gone) for one in streams), HARD_LIMIT_SECONDS)
    assert "which a killed `tulle up` had left" in mesh.up.said()
    assert not any(processes.runs(process) for process in left.values())
    for stream in streams:
        seconds = stream.back_after(gone) + KILLING_SECONDS
        print(f"watcher, {stream.name}: back after {seconds:.1f} s")
    until(Home(mesh.home / "default").mesh_file.exists, 30)
    assert mesh.workloads("shop")[0].model_copy(update={"node": workload[0].node}) == workload[0]
    until(lambda: [one.id for one in mesh.proxies("gateway")] == gateways, 15)
    assert mesh.tulle("apply", "--wait", "-f", "-", text=POLICY).stdout.count("unchanged") == 2
    lost = [one for one in inside.failed() if one.ended > killed]
    assert [one for one in lost if one.problem == "refused"] == []
    # The ingress has no socket while there is no watcher, but then it serves all.
    ready = time.monotonic()
    until(lambda: len(outside.served_after(ready)) > 20, 15)
    assert outside.failed(after=ready) == inside.failed(after=ready) == []
