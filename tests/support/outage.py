"""What an outage costs: open-loop traffic into and inside a mesh, and what became of each request.

Counterpart: `open_loop.py`, which sends it.
"""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.mesh import Mesh, Running, until

SCRIPT = Path(__file__).with_name("open_loop.py")
PER_SECOND = 20


@dataclass(frozen=True)
class Request:
    """Times of the monotonic clock, in seconds; `problem` is empty when it was served."""

    began: float
    ended: float
    problem: str


@dataclass
class Traffic:
    """One stream of requests."""

    name: str
    file: Path

    def requests(self) -> list[Request]:
        """Those that have ended."""
        found = []
        for line in self.file.read_text().splitlines(keepends=True):
            if line.endswith("\n"):
                began, ended, problem = line.split()
                found.append(Request(float(began), float(ended), "" if problem == "-" else problem))
        return found

    def served_after(self, when: float) -> list[Request]:
        """Requests that began after `when` and were served, in the order of their ends."""
        return [one for one in self.requests() if one.began > when and not one.problem]

    def back_after(self, when: float) -> float:
        """Seconds from `when` until a request that began later was served."""
        return min(one.ended for one in self.served_after(when)) - when

    def failed(self, after: float = 0.0) -> list[Request]:
        """Requests that began after `after` and were not served."""
        return [one for one in self.requests() if one.problem and one.began > after]


def free_port() -> int:
    """A port that a mesh may have, and the next one after it too."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def to_ingress(mesh: Mesh, host: str, per_second: float = PER_SECOND) -> Iterator[Traffic]:
    """Requests from outside, for `host`, until the block ends."""
    traffic = Traffic("ingress", mesh.home / "to-ingress")
    traffic.file.touch()
    arguments = (f"http://{mesh.file.ingress}/", host, str(per_second), str(traffic.file))
    environment = {k: v for k, v in os.environ.items() if k != "http_proxy"}
    process = subprocess.Popen((sys.executable, str(SCRIPT), *arguments), env=environment)
    try:
        yield traffic
    finally:
        process.terminate()
        assert process.wait(90) == 0


@contextmanager
def from_caller(mesh: Mesh, host: str, per_second: float = PER_SECOND) -> Iterator[Traffic]:
    """Requests of a workload through its sidecar to `host`, until the block ends."""
    traffic = Traffic("caller", mesh.home / "from-caller")
    traffic.file.touch()
    arguments = (f"http://{host}/", "", str(per_second), str(traffic.file))
    caller: Running = mesh.start_client("caller", sys.executable, str(SCRIPT), *arguments)
    until(lambda: any(not one.problem for one in traffic.requests()), 30)
    try:
        yield traffic
    finally:
        assert caller.end() == 0, caller.said()
        mesh.apps.remove(caller)
