"""`tulle up` and `tulle down`: what they say, what they leave behind, and what outlives them."""

import json
import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Iterator

import pytest

from tests.support.homes import short_home
from tests.support.mesh import ECHO, Commands, until
from tests.support.processes import processes_of
from tulle.actors.supervisor.leases import EXPIRY_SECONDS
from tulle.deploy.home import Home

pytestmark = pytest.mark.timeout(240)

FREE = ("--ingress-port", "0", "--http-port", "0")
ENTRY = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: kept}
spec:
  hosts: [kept.example.com]
  location: MESH_EXTERNAL
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP}]
  endpoints: [{address: 192.0.2.1}]
"""


@pytest.fixture
def commands() -> Iterator[Commands]:
    with short_home() as home:
        made = Commands()
        made.home = home
        yield made
        made.tulle("down")
        for pid in processes_of(home):
            os.kill(pid, signal.SIGKILL)


def test_a_detached_mesh_is_ended_by_down_and_what_was_applied_outlives_it(
    commands: Commands,
) -> None:
    said = commands.succeed("up", "--detach", "--bind", "127.0.0.2", *FREE)
    assert "ready: ingress on 127.0.0.2:" in said
    commands.succeed("apply", "-f", "-", text=ENTRY)
    commands.succeed("scale", "ingress", "0")

    assert "nothing of it runs" in commands.succeed("down")
    assert processes_of(commands.home) == {}
    assert commands.tulle("status").returncode == 4
    assert commands.tulle("down").returncode == 4

    kill_a_ready_up(commands)
    done = commands.tulle("status")
    assert (done.returncode, "was killed" in done.stderr) == (4, True)

    said = commands.succeed("up", "--detach", *FREE)
    assert "which a killed `tulle up` had left" in said
    assert "no ingress gateway" in said
    (kept,) = json.loads(commands.succeed("get", "se", "-o", "json"))
    assert kept["metadata"]["name"] == "kept"
    commands.succeed("down")
    assert processes_of(commands.home) == {}


@pytest.fixture
def in_deep_home(commands: Commands) -> Iterator[Commands]:
    """The paths of Ray's sockets would be too long there."""
    commands.home = commands.home / ("x" * 40)
    commands.home.mkdir()
    yield commands
    commands.tulle("down")
    shutil.rmtree(Home(commands.home / "default").above_ray)


def test_an_app_that_outlives_its_mesh_is_served_by_the_next(in_deep_home: Commands) -> None:
    commands = in_deep_home
    commands.succeed("up", "--detach", *FREE)
    server = (sys.executable, str(ECHO), "lasting")
    app = commands.start("lasting", "run", "lasting", "--port", "0:9080", "--", *server)

    def known() -> list[tuple[str, str]]:
        return [(workload.id, workload.state) for workload in commands.workloads("lasting")]

    def served() -> bool:
        command = ("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "http://lasting:9080/")
        return commands.tulle("run", "sleep", "--", *command).stdout == "200"

    until(lambda: [state for _, state in known()] == ["ready"], 60)
    before = known()
    commands.succeed("down")
    commands.succeed("up", "--detach", *FREE)

    until(served, 30)
    time.sleep(2 * EXPIRY_SECONDS)  # leases of it arrive, or it would be taken back by now
    assert known() == before
    assert served()
    app.end()
    until(lambda: known() == [], 10)
    commands.succeed("down")


def kill_a_ready_up(commands: Commands) -> None:
    """As the kernel does when memory runs out."""
    up = commands.start("killed", "up", *FREE)
    until((commands.home / "default/mesh.json").exists, 90)
    up.process.kill()
    up.process.wait()


def test_a_port_in_use_is_said_at_once(commands: Commands) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = str(busy.getsockname()[1])
        done = commands.tulle("up", "--ingress-port", port, "--http-port", "0")

    assert done.returncode == 1
    assert f"port {port}: in use" in done.stderr
    assert "--ingress-port" in done.stderr
    assert processes_of(commands.home) == {}


def test_a_home_whose_path_is_too_long_is_refused(commands: Commands) -> None:
    commands.home = commands.home / ("x" * 80)
    done = commands.tulle("up", *FREE)

    assert done.returncode == 1
    assert "TULLE_HOME" in done.stderr


@pytest.mark.parametrize(("options", "status"), [((), 0), (("--detach",), 130)])
def test_ctrl_c_while_it_starts_leaves_nothing(
    commands: Commands, options: tuple[str, ...], status: int
) -> None:
    up = commands.start("interrupted", "up", *options, *FREE)
    until(lambda: "NATS" in up.said(), 30)

    assert up.end(signal.SIGINT) == status
    assert "ended" in up.said()
    assert processes_of(commands.home) == {}
