"""A whole mesh for tests, through the commands that a user has, and without a trace afterwards.

    with Mesh() as mesh:
        mesh.run("reviews", version="v1")
        mesh.apply(policy)
        mesh.get("/", host="bookstore")

Blocking on purpose: a session's mesh belongs to no event loop.
"""

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from tests.support.homes import short_home
from tests.support.processes import listening_of, processes_of
from tulle.bus.messages import ProxyReport, ServicesAnswer, StatusAnswer, Workload
from tulle.deploy.home import Home, MeshFile

TULLE = (sys.executable, "-m", "tulle.deploy.cli")
ECHO = Path(__file__).with_name("echo_app.py")
FREE_PORTS = ("--ingress-port", "0", "--ingress-tls-port", "0", "--http-port", "0")
UP_SECONDS = 90.0
READY_SECONDS = 60.0
COMMAND_SECONDS = 60.0
END_SECONDS = 30.0
_POLL_SECONDS = 0.05


@dataclass
class Running:
    """A `tulle run` or `tulle up`; `log` has both of its outputs."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def end(self, number: int = signal.SIGTERM) -> int:
        """Sends the signal and returns the exit status; SIGKILL when it takes too long."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"{self.name} did not end: {self.said()}") from None

    def said(self) -> str:
        """All that it printed."""
        return self.log.read_text(errors="replace")


@dataclass(frozen=True)
class Reply:
    """An HTTP answer; names of headers are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, object]:
        value = json.loads(self.body)
        assert isinstance(value, dict)
        return value


def reply_of(answer: http.client.HTTPResponse) -> Reply:
    """An answer, read to its end."""
    fields = {name.lower(): value for name, value in answer.getheaders()}
    return Reply(answer.status, fields, answer.read())


@dataclass
class Commands:
    """Commands of the mesh whose TULLE_HOME is `home`."""

    home: Path = field(init=False)

    @property
    def environment(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("TULLE_")}
        return kept | {"TULLE_HOME": str(self.home)}

    def tulle(
        self, *arguments: str, text: str | None = None, seconds: float = COMMAND_SECONDS
    ) -> subprocess.CompletedProcess[str]:
        """A command, run to its end, whatever that is."""
        return subprocess.run(
            (*TULLE, *arguments),
            env=self.environment,
            input=text or "",
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )

    def succeed(self, *arguments: str, text: str | None = None) -> str:
        """What a command printed that must end with 0."""
        done = self.tulle(*arguments, text=text)
        assert done.returncode == 0, f"tulle {' '.join(arguments)}: {done.stdout}{done.stderr}"
        return done.stdout

    def workloads(self, service: str) -> list[Workload]:
        """The workloads of a service of namespace default."""
        answer = ServicesAnswer.model_validate_json(self.succeed("workloads", "-o", "json"))
        return [w for s in answer.services if s.name == service for w in s.workloads]

    def plain(self, *command: str) -> subprocess.CompletedProcess[str]:
        """A command outside the mesh, run to its end."""
        return subprocess.run(
            command, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False
        )

    def start(self, name: str, *arguments: str) -> Running:
        """A command that stays."""
        log = self.home / f"{name}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                (*TULLE, *arguments),
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        return Running(name, process, log)


@dataclass
class Mesh(Commands):
    """One mesh on free ports, in a TULLE_HOME of its own; `options` are further ones of `up`."""

    options: Sequence[str] = ()
    file: MeshFile = field(init=False)
    up: Running = field(init=False)
    apps: list[Running] = field(default_factory=list)
    _stack: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def __enter__(self) -> Self:
        self.home = self._stack.enter_context(short_home())
        self.up = self.start("up", "up", *FREE_PORTS, *self.options)
        self._stack.callback(self._end)
        layout = Home(self.home / "default")
        try:
            until(layout.mesh_file.exists, UP_SECONDS, self._check_up)
        except BaseException:
            self._stack.close()
            raise
        self.file = layout.mesh_now()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def apply(self, policy: str) -> str:
        """`tulle apply --wait` of a text."""
        return self.succeed("apply", "--wait", "-f", "-", text=policy)

    def status(self) -> StatusAnswer:
        """`tulle status`."""
        return StatusAnswer.model_validate_json(self.succeed("status", "-o", "json"))

    def proxies(self, role: str) -> list[ProxyReport]:
        """The proxies of a role, by id."""
        return sorted((p for p in self.status().proxies if p.role == role), key=lambda p: p.id)

    # Applications

    def run(
        self,
        service: str,
        *options: str,
        port: int | str = 9080,
        command: Sequence[str] = (),
    ) -> Running:
        """`tulle run` of a server, by default the echo app; returns when it is an endpoint.

        `port`: the service's, as in `5432/tcp`.
        """
        before = {w.id for w in self.workloads(service)}
        name = f"{service}-{len(self.apps)}"
        app = self.start(
            name,
            *("run", service, "--port", f"0:{port}", *options, "--"),
            *(command or (sys.executable, str(ECHO), service)),
        )
        self.apps.append(app)
        until(
            lambda: any(w.state == "ready" for w in self.workloads(service) if w.id not in before),
            READY_SECONDS,
            lambda: _check(app),
        )
        return app

    def client(self, *command: str) -> subprocess.CompletedProcess[str]:
        """`tulle run sleep -- command`, run to its end."""
        return self.tulle("run", "sleep", "--", *command)

    def start_client(self, service: str, *command: str) -> Running:
        """`tulle run` without a port, that stays."""
        app = self.start(f"{service}-{len(self.apps)}", "run", service, "--", *command)
        self.apps.append(app)
        return app

    def get(self, path: str, host: str, headers: Mapping[str, str] | None = None) -> Reply:
        """A GET to the ingress gateway."""
        address, _, port = self.file.ingress.rpartition(":")
        connection = http.client.HTTPConnection(address, int(port), timeout=15)
        try:
            connection.request("GET", path, headers={"host": host, **(headers or {})})
            return reply_of(connection.getresponse())
        finally:
            connection.close()

    # What is beneath

    def inbound(self, service: str, port: int = 9080) -> tuple[str, int]:
        """Where the first workload of a service is reached by its peers."""
        workload = self.workloads(service)[0]
        return workload.address, workload.ports[port]

    def metrics(self) -> str:
        """What `/metrics` says."""
        done = self.plain("curl", "-sS", f"{self.file.http}/metrics")
        assert done.returncode == 0, done
        return done.stdout

    def listening(self) -> list[str]:
        """Addresses of listening TCP sockets of all our processes, as /proc has them."""
        return listening_of(processes_of(self.home))

    def _check_up(self) -> None:
        _check(self.up)

    def _end(self) -> None:
        for app in self.apps:
            with contextlib.suppress(ProcessLookupError):
                app.process.terminate()
        for app in self.apps:
            app.end()
        self.up.end()
        left = processes_of(self.home)
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        assert not left, f"left behind: {left}"


def until(
    condition: Callable[[], bool], seconds: float, check: Callable[[], None] = lambda: None
) -> None:
    """Returns when it holds; `check` may raise before. Raises `AssertionError` when it is late."""
    deadline = time.monotonic() + seconds
    while not condition():
        check()
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s"
        time.sleep(_POLL_SECONDS)


def _check(running: Running) -> None:
    assert running.process.poll() is None, f"{running.name} ended: {running.said()}"
