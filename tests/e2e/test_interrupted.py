"""Ctrl-C at any moment of `tulle up`'s start: it ends, says so, and leaves nothing behind.

One TULLE_HOME for all moments, so that what an interrupted start has left on disk is what the next
one finds.
"""

import json
import os
import signal
import time
from collections.abc import Iterator

import pytest

from tests.support.homes import short_home
from tests.support.mesh import FREE_PORTS, Commands, Running, until
from tests.support.processes import processes_of
from tulle.deploy.home import Home

pytestmark = pytest.mark.timeout(240)

MOMENTS = (0.2, 0.6, 1.0, 1.8, 2.8, 4.2)
"""Seconds after its start, which takes 5 to 12 on two cores."""


@pytest.fixture
def commands() -> Iterator[Commands]:
    with short_home() as home:
        made = Commands()
        made.home = home
        yield made
        made.tulle("down")
        for pid in processes_of(home):
            os.kill(pid, signal.SIGKILL)


def interrupt(up: Running) -> None:
    """As a terminal does: the whole foreground process group gets it."""
    os.killpg(up.process.pid, signal.SIGINT)


def test_ctrl_c_at_any_moment_leaves_no_process(commands: Commands) -> None:
    for number, seconds in enumerate(MOMENTS):
        up = commands.start("up", "up", *FREE_PORTS)
        time.sleep(seconds)  # the moment is what is tested
        interrupt(up)
        if number % 2:  # somebody has no patience
            time.sleep(0.1)
            interrupt(up)
        status, said = up.process.wait(30), up.said()
        assert processes_of(commands.home) == {}, f"after {seconds} s: {said}"
        if "NATS" in said:  # -SIGINT: the second one came when all was done
            assert status in (0, 130, -signal.SIGINT), f"{seconds} s: {said}"
            assert "nothing of it runs" in said and "Traceback" not in said, f"{seconds} s: {said}"
        else:  # Python that is still importing ends as it always does; nothing has begun yet
            assert status in (0, 1, 130, -signal.SIGINT), f"{seconds} s: {said}"
        print(f"Ctrl-C after {seconds} s: status {status}, {said.splitlines()[-1:]}")

    # What is there is good for a mesh, and Ctrl-C ends a finished one as well.
    up = commands.start("up", "up", *FREE_PORTS)
    until((commands.home / "default/mesh.json").exists, 90)
    assert json.loads(commands.succeed("status", "-o", "json"))["proxies"]
    interrupt(up)
    assert up.process.wait(30) == 0
    assert processes_of(commands.home) == {}
    layout = Home(commands.home / "default")
    assert not layout.mesh_file.exists() and not layout.children_file.exists()
