"""The Ray host: `python -m tulle.deploy.local`, a child of the watcher, which owns local Ray.

Counterpart: `ray_host.py`. Says on stdout how far it is, one JSON object a line: `ray-ready`,
`actors-ready`; all else goes to stderr. Ends in order, leaving no process, on SIGTERM, SIGINT, the
end of stdin or the death of its parent. When raylet or gcs_server dies it ends at once, with all
that is left of Ray (`ray_death.py`), and the watcher starts it again.
"""

import argparse
import ctypes
import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tulle.actors.control import ControlSpec, Role
from tulle.actors.proxy.spec import ACCESS_LOG_FORMS
from tulle.deploy import home, logs, node, processes, ray_death, ray_environment, settings

EVALUATORS: Final = 2
HEALTH_SECONDS: Final = 60.0
END_SECONDS: Final = 5.0
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_CHILD_SUBREAPER: Final = 36
_POLL_SECONDS: Final = 0.2

if TYPE_CHECKING:
    from ray import ObjectRef
    from ray.actor import ActorHandle

_LOG = logging.getLogger("tulle.local")


def main(arguments: list[str] | None = None) -> int:
    """Runs until told to end; the process's exit status."""
    of = _parse(arguments)
    say = _events()
    logs.start(as_json=settings.read(of.mesh).json_logs)
    ended = _end_on_request()
    ray_environment.prepare(of.mesh_home)
    from tulle.deploy import lean_ray  # only now: it imports Ray

    try:
        this_node = lean_ray.start(of.mesh, of.mesh_home)
        _take_signals(ended)  # again: Ray has set handlers of its own

        def died(name: str) -> None:
            if not ended.is_set():  # else it is this process that ends it
                ray_death.end_at_once(name)

        ray_death.watch(lean_ray.vital(), died)
        node.announce(of.mesh_home / "nodes", this_node)
        say("ray-ready")
        if _spawn_control(of, ended):
            say("actors-ready")
        ended.wait()
    finally:
        ended.set()
        node.withdraw(of.mesh_home / "nodes")
        lean_ray.stop()
        _end_leftovers()
    return 0


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tulle.deploy.local", description=__doc__)
    parser.add_argument("--mesh", required=True, help="the mesh's name")
    parser.add_argument("--mesh-home", required=True, type=Path, help="the mesh's folder")
    parser.add_argument("--nats-url", required=True, help="where NATS is; users are in creds/")
    parser.add_argument("--access-log", choices=ACCESS_LOG_FORMS, default="off", help="its form")
    parser.add_argument("--leaf-ttl", type=float, default=settings.LEAF_TTL, help="seconds")
    return parser.parse_args(arguments)


def _events() -> Callable[[str], None]:
    """Keeps stdout for events: whatever Ray prints goes to stderr."""
    stream = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def say(event: str) -> None:
        print(json.dumps({"event": event}), file=stream, flush=True)

    return say


def _end_on_request() -> threading.Event:
    """The event that is set when this process shall end."""
    ended = threading.Event()
    with suppress(PermissionError):
        os.setsid()  # leads one already, usually
    _take_signals(ended)
    prctl = ctypes.CDLL(None).prctl
    prctl(_PR_SET_CHILD_SUBREAPER, 1)  # else what Ray leaves is nobody's
    prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    # Covers a parent that died before the line above.
    threading.Thread(target=_until_stdin_ends, args=(ended,), daemon=True).start()
    return ended


def _take_signals(ended: threading.Event) -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: ended.set())


def _until_stdin_ends(ended: threading.Event) -> None:
    while os.read(0, 4096):
        pass
    ended.set()


def _spawn_control(of: argparse.Namespace, ended: threading.Event) -> bool:
    """All control actors at once; whether all serve. Raises what kept one of them from it."""
    import ray

    from tulle.actors import spawn

    actors: list[ActorHandle[Any]] = [
        spawn.spawn_supervisor(_spec(of, "supervisor")),
        *(spawn.spawn_evaluator(_spec(of, "evaluator", n + 1)) for n in range(EVALUATORS)),
        spawn.spawn_authority(_spec(of, "authority")),
        spawn.spawn_collector(_spec(of, "collector")),
    ]
    waiting: list[ObjectRef[Any]] = [actor.health.remote() for actor in actors]
    deadline = time.monotonic() + HEALTH_SECONDS
    while waiting and not ended.is_set():
        served, waiting = ray.wait(waiting, timeout=_POLL_SECONDS)
        ray.get(served)
        if waiting and time.monotonic() >= deadline:
            raise TimeoutError(
                f"{len(waiting)} control actors don't serve: see {of.mesh_home / 'logs'} and "
                f"{home.Home(of.mesh_home).ray / 'session_latest/logs'}"
            )
    return not waiting


def _spec(of: argparse.Namespace, role: Role, number: int = 1) -> ControlSpec:
    creds, wanted = of.mesh_home / "creds", settings.read(of.mesh)
    return ControlSpec(
        role=role,
        id=str(number),
        mesh=of.mesh,
        nats_url=of.nats_url,
        nats_credentials=str(creds / f"{role}.json"),
        home=str(of.mesh_home),
        nats_keys=str(of.mesh_home / "nats") if role == "supervisor" else "",
        log_folder=str(of.mesh_home / "logs"),
        json_logs=wanted.json_logs,
        telemetry=wanted.telemetry,
        access_log=of.access_log,
        leaf_ttl_seconds=of.leaf_ttl,
    )


def _end_leftovers() -> None:
    """Waits for whatever Ray left, then kills it: it is all of this process's session."""
    this = processes.this_process()
    deadline = time.monotonic() + END_SECONDS
    while others := [pid for pid in processes.members(this) if pid != this.pid]:
        if time.monotonic() >= deadline:
            _LOG.warning("killed what Ray had left: pids=%s", others)
            for pid in others:
                processes.send(pid, signal.SIGKILL)
        _reap()
        time.sleep(_POLL_SECONDS / 10)
    _reap()


def _reap() -> None:
    """Takes the exit statuses of workers whose raylet has ended before them."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass


if __name__ == "__main__":
    sys.exit(main())
