"""Real processes stand for a mesh's: the one that writes an actor's log is found, and killed."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.homes import short_home
from tests.support.mesh import until
from tulle.deploy import home as homes
from tulle.deploy import processes
from tulle.deploy.demo import actors
from tulle.deploy.demo.children import CommandFailed
from tulle.deploy.home import Children, Home

WORKERS = """
import subprocess, sys, time
for name in ("one", "two"):
    log = open(f"{sys.argv[1]}/tulle-proxy-{name}.log", "a")
    subprocess.Popen(["sleep", "600"], stdout=log)
    log.close()
print("up", flush=True)
time.sleep(600)
"""


@pytest.fixture
def host() -> Iterator[Home]:
    """The folder of a mesh whose Ray host, and NATS, is one process with two children."""
    with short_home() as folder:
        home = Home(folder)
        home.make()
        popen = subprocess.Popen(
            [sys.executable, "-c", WORKERS, str(home.logs)],
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert popen.stdout is not None
        popen.stdout.readline()
        leader = processes.find(popen.pid)
        assert leader is not None
        children = Children(processes={actors.RAY: leader, actors.NATS: leader})
        homes.write(home.children_file, children)
        try:
            yield home
        finally:
            processes.kill(leader)
            popen.wait()
            popen.stdout.close()


def test_the_one_that_writes_the_log_is_the_actor(host: Home) -> None:
    one, two = (actors.pid_of(host, f"tulle-proxy-{name}") for name in ("one", "two"))
    assert None not in (one, two) and one != two
    assert actors.pid_of(host, "tulle-proxy-three") is None
    actors.kill(host, "tulle-proxy-one")
    assert actors.pid_of(host, "tulle-proxy-one") is None
    assert actors.pid_of(host, "tulle-proxy-two") == two
    with pytest.raises(CommandFailed, match="tulle-proxy-one"):
        actors.kill(host, "tulle-proxy-one")


def test_nats_is_stopped_while_the_block_runs(host: Home) -> None:
    pid = actors.nats_pid(host)
    assert pid is not None
    with pytest.raises(InterruptedError), actors.nats_stopped(host):
        until(lambda: _state(pid) == "T", 5)
        raise InterruptedError
    until(lambda: _state(pid) != "T", 5)


def test_a_mesh_that_is_not_there_has_no_processes() -> None:
    with short_home() as folder:
        home = Home(folder)
        assert actors.pid_of(home, "tulle-proxy-one") is None
        assert actors.nats_pid(home) is None
        with pytest.raises(CommandFailed, match="nats-server"), actors.nats_stopped(home):
            pass


def _state(pid: int) -> str:
    """T: it is stopped."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
