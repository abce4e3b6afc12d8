"""The watcher starts again what dies beneath it; who is served notices little."""

import os
import signal

import pytest

from tests.support.mesh import Mesh, until
from tulle.deploy import processes
from tulle.deploy.home import Home

pytestmark = pytest.mark.timeout(240)


def test_a_killed_nats_server_comes_back_with_all_that_it_held(mesh: Mesh) -> None:
    mesh.run("steady")
    home = Home(mesh.home / "default")
    before = home.children().processes["nats"]
    os.kill(before.pid, signal.SIGKILL)

    until(lambda: home.children().processes["nats"] != before, 20)
    until(lambda: mesh.tulle("status").returncode == 0, 30)
    assert [w.state for w in mesh.workloads("steady")] == ["ready"]
    done = mesh.client("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "http://steady:9080/")
    assert done.stdout == "200", done


def test_a_killed_ray_host_comes_back_with_gateways_and_sidecars(mesh: Mesh) -> None:
    mesh.run("firm")
    home = Home(mesh.home / "default")
    before = home.children().processes["ray"]
    os.kill(before.pid, signal.SIGKILL)

    until(lambda: home.children().processes["ray"] != before, 40)
    until(lambda: not processes.members(before), 40)
    until(lambda: mesh.tulle("status").returncode == 0, 60)

    def served() -> bool:
        command = ("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "http://firm:9080/")
        return mesh.client(*command).stdout == "200"

    until(served, 60)
    assert mesh.get("/", "nobody.test").status == 404
