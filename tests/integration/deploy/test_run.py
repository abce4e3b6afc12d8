"""`tulle run` as a process, with a real NATS and holder; supervisor and sidecar are the test's."""

import asyncio
import contextlib
import fcntl
import hashlib
import json
import os
import signal
import sys
import termios
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.fake_supervisor import FakeSupervisor, fake_mesh
from tests.support.homes import short_home
from tulle.bus.messages import StartRequest

SECONDS = 20
SERVER = """
import http.server, json, os, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/healthz" else 404)
        self.end_headers()
        if self.path != "/healthz": print("asked", self.path, flush=True)
    def log_message(self, *_): pass
server = http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler)
print(json.dumps(dict(os.environ)), flush=True)
server.serve_forever()
"""


@pytest.fixture
def root() -> Iterator[Path]:
    with short_home() as path:
        yield path


@pytest_asyncio.fixture
async def supervisor(root: Path) -> AsyncIterator[FakeSupervisor]:
    async with fake_mesh(root) as made:
        yield made


CLI = ("-m", "tulle.deploy.cli")
IMPATIENT = """
from tulle.deploy import run
from tulle.deploy.cli import main
run.APP_SECONDS, run.PROBES_UNTIL_WARNING = 0.5, 3
main()
"""


@contextlib.asynccontextmanager
async def tulle_run(
    root: Path, *arguments: str, command: tuple[str, ...] = CLI
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A `tulle run` that is ended if the test did not; `command` of Python: another `main`."""
    env = {**os.environ, "TULLE_HOME": str(root), "ALL_PROXY": "http://elsewhere:1"}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *command, "run", *arguments),
        env=env,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(SECONDS):
            yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def line_of(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    return (await process.stdout.readline()).decode()


async def error_of(process: asyncio.subprocess.Process) -> str:
    assert process.stderr is not None
    return (await process.stderr.read()).decode()


def server(*options: str) -> tuple[str, ...]:
    return ("reviews", "--port", "0:9080", *options, "--", sys.executable, "-c", SERVER)


def runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


async def until_gone(pid: int) -> None:
    async with asyncio.timeout(SECONDS):
        while runs(pid):  # noqa: ASYNC110 - not our child, there is nothing to wait on
            await asyncio.sleep(0.02)


@pytest.mark.asyncio
async def test_it_asks_for_a_sidecar_and_starts_the_app_behind_it(
    root: Path, supervisor: FakeSupervisor
) -> None:
    async with tulle_run(root, *server("--version", "v1", "--label", "team=books")) as process:
        env = json.loads(await line_of(process))
        await supervisor.until("ready")

    asked = supervisor.started
    assert isinstance(asked, StartRequest)
    assert (asked.service, asked.version, asked.labels) == ("reviews", "v1", {"team": "books"})
    assert asked.nodes == ["n1"]
    (port,) = asked.ports
    assert (port.service, port.protocol, str(port.app)) == (9080, "http", env["PORT"])
    assert supervisor.sockets["inbound:9080"].getsockname() == ("127.0.0.1", port.inbound)
    assert supervisor.sockets["outbound"].getsockname() == ("127.0.0.1", asked.outbound)

    user, _, address = env["http_proxy"].removeprefix("http://").partition("@")
    workload, _, credential = user.partition(":")
    assert (workload, address) == ("w1", f"127.0.0.1:{asked.outbound}")
    assert hashlib.sha256(credential.encode()).hexdigest() == asked.credential_sha256
    assert len(bytes.fromhex(credential)) == 16
    assert env["HTTP_PROXY"] == env["http_proxy"]
    assert env["no_proxy"] == env["NO_PROXY"] == "localhost,127.0.0.1"
    assert "ALL_PROXY" not in env
    assert env["TULLE_WORKLOAD"] == "w1"


@pytest.mark.asyncio
async def test_sigterm_deregisters_drains_and_only_then_ends_the_app(
    root: Path, supervisor: FakeSupervisor
) -> None:
    async with tulle_run(root, *server()) as process:
        await supervisor.until("ready")
        process.send_signal(signal.SIGTERM)
        status = await process.wait()

    assert status == 128 + signal.SIGTERM
    order = [said for said in supervisor.said if said not in ("starting", "draining", "ready")]
    assert order == ["start", "deregister", "drain_inbound", "gone"]
    assert supervisor.said.index("draining") < supervisor.said.index("drain_inbound")
    await asyncio.wait_for(supervisor.lost.wait(), SECONDS)


@pytest.mark.asyncio
async def test_it_is_ready_only_when_health_answers_well(
    root: Path, supervisor: FakeSupervisor
) -> None:
    async with tulle_run(root, *server("--health", "/nope")) as process:
        await line_of(process)
        await supervisor.until("starting")
        for _ in range(4):  # the first three have been judged when the fourth is asked
            assert await line_of(process) == "asked /nope\n"
        assert "ready" not in supervisor.said

    async with tulle_run(root, *server("--health", "/healthz")):
        await supervisor.until("ready")


@pytest.mark.asyncio
async def test_an_app_that_exits_at_once_is_never_an_endpoint(
    root: Path, supervisor: FakeSupervisor
) -> None:
    async with tulle_run(
        root, "reviews", "--port", "0:9080", "--", "sh", "-c", "exit 3"
    ) as process:
        assert await process.wait() == 3
        assert await error_of(process) == ""

    await supervisor.until("gone")
    assert "ready" not in supervisor.said
    assert "deregister" not in supervisor.said


@pytest.mark.asyncio
async def test_an_app_that_never_accepts_is_told_of_and_ends_in_order(
    root: Path, supervisor: FakeSupervisor
) -> None:
    app = ("reviews", "--port", "0:9080", "--", "sleep", "600")
    async with tulle_run(root, *app, command=("-c", IMPATIENT)) as process:
        assert process.stderr is not None
        warning = (await process.stderr.readline()).decode()
        assert "the app does not accept on 127.0.0.1, ports" in warning
        process.terminate()
        assert await process.wait() == 128 + signal.SIGTERM

    order = [said for said in supervisor.said if said not in ("starting", "draining", "ready")]
    assert order == ["start", "deregister", "drain_inbound", "gone"]


@pytest.mark.asyncio
async def test_an_app_that_ignores_sigterm_is_killed_when_its_time_is_up(
    root: Path, supervisor: FakeSupervisor
) -> None:
    script = "trap '' TERM; echo $$; while :; do sleep 0.05; done"
    arguments = ("sleep", "--", "sh", "-c", script)
    async with tulle_run(root, *arguments, command=("-c", IMPATIENT)) as process:
        app = int(await line_of(process))
        process.terminate()
        assert await process.wait() == 128 + signal.SIGKILL
        assert "did not end within" in await error_of(process)

    assert not runs(app)
    await supervisor.until("gone")


@pytest.mark.asyncio
async def test_what_an_app_forks_is_no_reason_to_stay(
    root: Path, supervisor: FakeSupervisor
) -> None:
    # Its own end is the end; what is left of its group and ignores SIGTERM is killed.
    script = "(trap '' TERM; exec sleep 600) & echo $!; exit 4"
    code = IMPATIENT.replace("run.APP", "run.SWEEP_SECONDS = 0.5; run.APP")
    async with tulle_run(root, "sleep", "--", "sh", "-c", script, command=("-c", code)) as process:
        child = int(await line_of(process))
        assert await process.wait() == 4
    assert not runs(child)
    await supervisor.until("gone")


@pytest.mark.asyncio
async def test_a_client_passes_its_exit_status_on(root: Path, supervisor: FakeSupervisor) -> None:
    async with tulle_run(root, "sleep", "--", "sh", "-c", "exit 7") as process:
        assert await process.wait() == 7
        assert await error_of(process) == ""  # what is there is the app's alone

    assert supervisor.said[0] == "start"
    await supervisor.until("gone")
    assert supervisor.started is not None and supervisor.started.ports == []


@pytest.mark.asyncio
async def test_signals_reach_the_app(root: Path, supervisor: FakeSupervisor) -> None:
    script = "trap 'echo hup; exit 5' HUP; echo up; while :; do sleep 0.05; done"
    async with tulle_run(root, "sleep", "--", "sh", "-c", script) as process:
        assert await line_of(process) == "up\n"
        process.send_signal(signal.SIGHUP)
        assert await line_of(process) == "hup\n"
        assert await process.wait() == 5


@dataclass(frozen=True, slots=True)
class Terminal:
    """A process and the other end of its terminal."""

    process: asyncio.subprocess.Process
    fd: int

    def read(self) -> bytes:
        """What was shown; nobody has the terminal open any more."""
        shown = b""
        with contextlib.suppress(OSError):  # so a terminal says that it ended
            while more := os.read(self.fd, 4096):
                shown += more
        return shown


@contextlib.asynccontextmanager
async def in_terminal(root: Path, *arguments: str) -> AsyncIterator[Terminal]:
    """A `tulle run` in a terminal of its own."""
    ours, theirs = os.openpty()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tulle.deploy.cli", "run", *arguments),
        env={**os.environ, "TULLE_HOME": str(root)},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    os.close(theirs)
    try:
        async with asyncio.timeout(SECONDS):
            yield Terminal(process, ours)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        os.close(ours)


@pytest.mark.asyncio
async def test_an_app_that_reads_the_terminal_gets_it(
    root: Path, supervisor: FakeSupervisor
) -> None:
    script = "read word && kill -TSTP $$ && read other; echo got:$word:$other; exit 5"
    async with in_terminal(root, "sleep", "--", "sh", "-c", script) as terminal:
        os.write(terminal.fd, b"hello\nagain\n")
        assert await terminal.process.wait() == 5
        assert b"got:hello:again" in terminal.read()


@pytest.mark.asyncio
async def test_ctrl_c_ends_an_app_in_order_that_never_reads_the_terminal(
    root: Path, supervisor: FakeSupervisor
) -> None:
    async with in_terminal(root, *server()) as terminal:
        await supervisor.until("ready")
        os.write(terminal.fd, b"\x03")
        assert await terminal.process.wait() == 128 + signal.SIGINT

    order = [said for said in supervisor.said if said in ("deregister", "drain_inbound", "gone")]
    assert order == ["deregister", "drain_inbound", "gone"]


@pytest.mark.asyncio
async def test_nothing_of_the_apps_process_group_is_left(
    root: Path, supervisor: FakeSupervisor
) -> None:
    script = "sleep 600 & echo $!; exit 0"
    async with tulle_run(root, "sleep", "--", "sh", "-c", script) as process:
        child = int(await line_of(process))
        assert await process.wait() == 0

    assert not runs(child)


@pytest.mark.asyncio
async def test_the_app_ends_when_run_is_killed(root: Path, supervisor: FakeSupervisor) -> None:
    script = "echo $$; exec sleep 600"
    async with tulle_run(root, "sleep", "--", "sh", "-c", script) as process:
        app = int(await line_of(process))
        process.kill()
        await process.wait()
        await until_gone(app)
        await asyncio.wait_for(supervisor.lost.wait(), SECONDS)


@pytest.mark.asyncio
async def test_a_sidecar_that_dies_finds_its_sockets_again(
    root: Path, supervisor: FakeSupervisor
) -> None:
    async with tulle_run(root, *server()) as process:
        await supervisor.until("ready")
        before = supervisor.sockets["outbound"].getsockname()
        supervisor.end_sidecar()
        await supervisor.play_sidecar()
        assert supervisor.sockets["outbound"].getsockname() == before
        process.terminate()
        assert await process.wait() == 128 + signal.SIGTERM


@pytest.mark.asyncio
async def test_a_refusal_is_said_and_has_status_125(root: Path, supervisor: FakeSupervisor) -> None:
    supervisor.refusal = "service default/reviews is of account other"
    async with tulle_run(root, *server()) as process:
        error = await error_of(process)
        assert await process.wait() == 125

    assert "service default/reviews is of account other" in error
    assert "Traceback" not in error


@pytest.mark.asyncio
async def test_a_command_that_is_not_there_has_status_125(
    root: Path, supervisor: FakeSupervisor
) -> None:
    async with tulle_run(root, "sleep", "--", "/no/such/command") as process:
        error = await error_of(process)
        assert await process.wait() == 125

    assert "/no/such/command" in error
    await supervisor.until("gone")


@pytest.mark.asyncio
async def test_a_port_in_use_is_refused_before_anything_is_asked(
    root: Path, supervisor: FakeSupervisor
) -> None:
    busy = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    number = busy.sockets[0].getsockname()[1]
    async with tulle_run(root, "reviews", "--port", str(number), "--", "true") as process:
        error = await error_of(process)
        assert await process.wait() == 125
    busy.close()

    assert f"port {number}" in error
    assert supervisor.said == []


@pytest.mark.asyncio
async def test_no_node_here_is_a_clear_error(root: Path, supervisor: FakeSupervisor) -> None:
    (root / "default/nodes/n1.json").unlink()
    async with tulle_run(root, "sleep", "--", "true") as process:
        error = await error_of(process)
        assert await process.wait() == 125

    assert "no node of the mesh" in error


@pytest.mark.asyncio
async def test_a_workload_that_the_mesh_forgot_comes_back_as_it_was(
    root: Path, supervisor: FakeSupervisor
) -> None:
    async with tulle_run(root, *server("--version", "v1")) as process:
        await supervisor.until("ready")
        first, supervisor.started = supervisor.started, None
        assert first is not None
        (root / "default/nodes/n1.json").rename(root / "default/nodes/n2.json")
        supervisor.said.clear()
        supervisor.forgetful = True
        await supervisor.until("start")
        await supervisor.until("ready")
        again = supervisor.started
        assert isinstance(again, StartRequest)
        assert again.id != first.id and (again.workload, again.nodes) == ("w1", ["n2"])
        changes = {"id": first.id, "workload": "", "nodes": ["n1"]}
        assert again.model_copy(update=changes) == first
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 128 + signal.SIGTERM


@pytest.mark.asyncio
async def test_a_workload_that_ends_does_not_come_back(
    root: Path, supervisor: FakeSupervisor
) -> None:
    async with tulle_run(root, *server()) as process:
        await supervisor.until("ready")
        supervisor.said.clear()
        process.send_signal(signal.SIGTERM)
        await supervisor.until("deregister")
        supervisor.forgetful = True
        assert await process.wait() == 128 + signal.SIGTERM
    assert "start" not in supervisor.said
