"""A mesh on what others run: a nats-server with TLS, started by hand, and a Ray cluster of two
raylets, started apart. All of it on loopback, below one folder, and gone afterwards.
"""

import contextlib
import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from tests.support.homes import short_home
from tests.support.mesh import (
    FREE_PORTS,
    READY_SECONDS,
    TULLE,
    UP_SECONDS,
    Mesh,
    Running,
    until,
)
from tests.support.processes import processes_of
from tests.support.web_ca import WebCA
from tulle.bus.server import find_binary
from tulle.deploy import processes
from tulle.deploy.home import Home

CLUSTER = Path(__file__).with_name("ray_cluster.py")
CLUSTER_SECONDS = 60.0


@dataclass
class OutsideMesh(Mesh):
    """As `Mesh`, on its own NATS and Ray; `nodes` and `raylets` (pids) in one order."""

    nats_url: str = field(init=False)
    ray_address: str = field(init=False)
    nodes: list[str] = field(init=False)
    raylets: list[int] = field(init=False)
    nats: subprocess.Popen[bytes] = field(init=False)

    def __enter__(self) -> Self:
        self.home = self._stack.enter_context(short_home())
        self._stack.callback(self._nothing_left)
        try:
            self._start_nats()
            self._start_ray()
            self._stack.callback(self._end_all)
            self.start_up(*FREE_PORTS)
        except BaseException:
            self._stack.close()
            raise
        return self

    @property
    def environment(self) -> dict[str, str]:
        """With what who uses this cluster must have, and no more: its defaults are Ray's."""
        kept = {k: v for k, v in super().environment.items() if not k.startswith("RAY_")}
        return kept | {
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(self.home / "ray.token"),
        }

    @property
    def options_outside(self) -> tuple[str, ...]:
        """Of `tulle up`."""
        ca = str(self.home / "n" / "ca.pem")
        return ("--nats", self.nats_url, "--nats-ca", ca, "--ray", self.ray_address)

    @property
    def layout(self) -> Home:
        """The mesh's folder."""
        return Home(self.home / "default")

    def start_up(self, *ports: str) -> None:
        """`tulle up`; returns when the mesh is ready."""
        self.up = self.start("up", "up", *ports, *self.options_outside)
        until(self.layout.mesh_file.exists, UP_SECONDS, self._check_up)
        self.file = self.layout.mesh_now()

    def same_ports(self) -> tuple[str, ...]:
        """Options for an `up` on the ports of the one before."""
        ingress, http = (text.rpartition(":")[2] for text in (self.file.ingress, self.file.http))
        return ("--ingress-port", ingress, "--http-port", http, "--ingress-tls-port", "0")

    def run_on(self, node: str, service: str) -> Running:
        """`tulle run` of the echo app on a machine of which `node` is the only one.

        That machine is a TULLE_HOME that has the mesh's files, and another folder of nodes.
        """
        there = self.home / f"m-{node[:6]}"
        folder = there / "default"
        for name in ("nodes", "run"):
            (folder / name).mkdir(mode=0o700, parents=True, exist_ok=True)
        said = (self.layout.nodes / f"{node}.json").read_bytes()
        (folder / "nodes" / f"{node}.json").write_bytes(said)
        (folder / "mesh.json").write_bytes(self.layout.mesh_file.read_bytes())
        log = self.home / f"{service}.log"
        echo = CLUSTER.with_name("echo_app.py")
        with log.open("wb") as output:
            process = subprocess.Popen(
                (
                    *(*TULLE, "run", service, "--port", "0:9080", "--"),
                    *(sys.executable, str(echo), service),
                ),
                env=self.environment | {"TULLE_HOME": str(there)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        app = Running(service, process, log)
        self.apps.append(app)
        until(
            lambda: any(w.state == "ready" for w in self.workloads(service)),
            READY_SECONDS,
            lambda: _runs(app),
        )
        return app

    def process_of(self, proxy: str) -> int:
        """The pid of a proxy's actor, which is the one that writes its log."""
        log = str(self.layout.logs / f"tulle-proxy-{proxy}.log")
        [pid] = [pid for pid in processes_of(self.home) if log in _open_files(pid)]
        return pid

    def raylet_of(self, pid: int) -> int:
        """The pid of the raylet that started an actor's process."""
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])

    def actors(self) -> set[int]:
        """Pids of all actors' processes of the mesh."""
        lines = processes_of(self.home).items()
        return {pid for pid, line in lines if re.match(r"ray::(\w+Actor|NodeAgent)\b", line)}

    def _start_nats(self) -> None:
        folder = self.home / "n"
        folder.mkdir(mode=0o700)
        certificate, key, _ = WebCA().files(folder, "127.0.0.1")
        os.rename(certificate, folder / "nats-cert.pem")
        os.rename(key, folder / "nats-key.pem")
        self.nats_url = f"tls://127.0.0.1:{_free_port()}"
        printed = self.succeed("up", "--print-nats-config", "--nats", self.nats_url)
        (folder / "nats.conf").write_text(printed)
        with (folder / "nats.log").open("wb") as log:
            self.nats = subprocess.Popen(
                (find_binary(), "-c", str(folder / "nats.conf")),
                cwd=folder,
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._stack.callback(_end, self.nats)

    def _start_ray(self) -> None:
        token = self.home / "ray.token"
        token.touch(mode=0o600)
        token.write_text(secrets.token_hex(32))
        with (self.home / "ray.log").open("wb") as log:
            cluster = subprocess.Popen(
                (sys.executable, str(CLUSTER), str(self.home / "r")),
                env=self.environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        self._stack.callback(_end, cluster)
        assert cluster.stdout is not None
        line = cluster.stdout.readline()
        assert line, (self.home / "ray.log").read_text(errors="replace")
        said = json.loads(line)
        self.ray_address, self.nodes = said["address"], said["nodes"]
        self.raylets = said["raylets"]

    def _end_all(self) -> None:
        """The mesh's own, by its commands, before what it stood on."""
        for app in self.apps:
            with contextlib.suppress(ProcessLookupError):
                app.process.terminate()
        for app in self.apps:
            app.end()
        if hasattr(self, "up"):
            self.up.end(signal.SIGINT)
            self.tulle("down")

    def _nothing_left(self) -> None:
        left = processes_of(self.home)
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        assert not left, f"left behind: {left}"


def _runs(app: Running) -> None:
    assert app.process.poll() is None, f"{app.name} ended: {app.said()}"


def _open_files(pid: int) -> set[str]:
    found = set()
    with contextlib.suppress(OSError):
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                found.add(os.readlink(descriptor))
    return found


def _end(process: subprocess.Popen[bytes]) -> None:
    """By the end of its stdin or SIGTERM; what is left of its session then, by SIGKILL."""
    leader = processes.find(process.pid)
    if process.stdin is not None:
        process.stdin.close()
    else:
        process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(20)
    if leader is not None:
        processes.kill(leader)
    process.wait()
    if process.stdout is not None:
        process.stdout.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
