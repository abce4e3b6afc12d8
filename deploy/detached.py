"""`tulle up --detach`: the same `up` in a session of its own. `tulle down`: ends any `up`."""

import subprocess
import sys
import time
from pathlib import Path

import typer

from tulle.deploy import home, processes
from tulle.deploy.errors import Failure, Interrupted, NoMesh
from tulle.deploy.home import Home
from tulle.deploy.settings import Settings
from tulle.deploy.up import READY, READY_SECONDS, UpOptions

DOWN_SECONDS = 60.0
_POLL_SECONDS = 0.05


def start(of: Settings, options: UpOptions) -> None:
    """Returns when the mesh is ready; shows what the twin says until then. Raises `Failure`.

    Ctrl-C ends what had started.
    """
    where = Home(of.mesh_folder)
    where.make()
    with home.lock(where):  # raises when one runs
        pass
    log = where.logs / "up.log"
    log.touch(mode=0o600)
    with log.open("wb") as output:
        twin = subprocess.Popen(
            _command(of, options),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        _follow(twin, where, log)
    except KeyboardInterrupt:
        twin.terminate()
        try:
            twin.wait(DOWN_SECONDS)
        except subprocess.TimeoutExpired:
            raise Failure(f"interrupted, and pid {twin.pid} did not end: see {log}") from None
        raise Interrupted("interrupted: what had started was ended again") from None


def _follow(twin: "subprocess.Popen[bytes]", where: Home, log: Path) -> None:
    said = ""
    deadline = time.monotonic() + READY_SECONDS + 10
    while time.monotonic() < deadline:
        status = twin.poll()
        said += _show(log, len(said))
        if status is not None:
            raise Failure(f"`tulle up` ended with status {status}, its log is {log}")
        if _is_ready(where, twin.pid) and READY in said:
            return
        time.sleep(_POLL_SECONDS)
    raise Failure(f"not ready in time; see {log}, and end it with `tulle down`")


def stop(of: Settings) -> str:
    """Ends the mesh and waits for it; what was done. Raises `Failure`."""
    where = Home(of.mesh_folder)
    up = where.children().up
    if not home.locked(where):
        left = home.end_leftovers(where) if where.root.exists() else []
        if not left:
            raise NoMesh(
                f"no mesh runs in {where.root}: nothing is to be ended (another is named by --mesh)"
            )
        return f"ended {' and '.join(left)}, which a killed `tulle up` had left"
    if up is None or not processes.runs(up):
        raise Failure(f"a `tulle up` of {where.root} is just starting: try again in a second")
    processes.send(up.pid, 15)
    deadline = time.monotonic() + DOWN_SECONDS
    while processes.runs(up) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    if processes.runs(up):
        raise Failure(f"`tulle up` (pid {up.pid}) did not end within {DOWN_SECONDS:.0f} s")
    return "ended, nothing of it runs any more"


def _command(of: Settings, options: UpOptions) -> list[str]:
    return [
        *(sys.executable, "-m", "tulle.deploy.cli", "up", "--twin"),
        *("--mesh", of.mesh),
        *("--bind", options.bind),
        *("--ingress-port", str(options.ingress_port)),
        *("--ingress-tls-port", str(options.ingress_tls_port)),
        *("--http-port", str(options.http_port)),
        *("--leaf-ttl", f"{of.leaf_ttl:.0f}s"),
        *("--access-log", of.access_log),
    ]


def _is_ready(where: Home, pid: int) -> bool:
    try:
        return where.mesh_now().up.pid == pid
    except NoMesh:
        return False


def _show(log: Path, known: int) -> str:
    """Prints what the log has after `known` bytes, and returns it."""
    with log.open("rb") as file:
        file.seek(known)
        text = file.read().decode("ascii", errors="replace")  # a character per byte
    typer.echo(text, nl=False)
    return text
