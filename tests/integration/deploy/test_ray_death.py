"""When one of the processes that Ray needs dies, nothing of the session is left, at once."""

import signal
import subprocess
import sys

from tests.support.mesh import until
from tulle.deploy import processes
from tulle.deploy.ray_death import RAY_DIED

HOST = """
import subprocess, sys, time
from tulle.deploy import ray_death
parts = {name: subprocess.Popen(["sleep", "600"]) for name in ("raylet", "gcs_server")}
subprocess.Popen(["sh", "-c", "trap '' TERM; sleep 600; sleep 600"])  # a worker
ray_death.watch({name: part.pid for name, part in parts.items()}, ray_death.end_at_once)
print(parts["gcs_server"].pid, flush=True)
time.sleep(600)
"""


def test_the_death_of_one_ends_the_session() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOST],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as host:
        assert host.stdout is not None and host.stderr is not None
        leader = processes.find(host.pid)
        assert leader is not None
        try:
            victim = int(host.stdout.readline())
            assert len(processes.members(leader)) >= 4
            processes.send(victim, signal.SIGKILL)
            assert host.wait(5) == RAY_DIED
            until(lambda: processes.members(leader) == [], 5)
            assert b"gcs_server has ended" in host.stderr.read()
        finally:
            processes.kill(leader)
