"""Which process an actor is, for the steps that kill one: Ray's worker that has its log open.

Ray calls all proxies alike (`ray::ProxyActor`), so their titles do not tell them apart. Linux only:
read from /proc. Everything here blocks for some milliseconds; steps call it in threads.
"""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tulle.deploy import processes
from tulle.deploy.demo.children import CommandFailed
from tulle.deploy.home import Home

RAY, NATS = "ray", "nats"  # names in `processes.json`
GONE_SECONDS = 5.0
_POLL_SECONDS = 0.005


def pid_of(home: Home, actor: str) -> int | None:
    """The process of actor `tulle-<kind>-<id>`; None: it does not run now, or only just starts."""
    host, log = home.children().processes.get(RAY), str(home.logs / f"{actor}.log")
    if host is None:
        return None
    return next((pid for pid in processes.members(host) if log in _open_files(pid)), None)


def nats_pid(home: Home) -> int | None:
    """The process of nats-server; None: it does not run now."""
    server = home.children().processes.get(NATS)
    return server.pid if server is not None and processes.runs(server) else None


def kill(home: Home, actor: str) -> None:
    """SIGKILL to an actor; returns when the last of its sockets is closed.

    Raises `CommandFailed`: it does not run, or does not go.
    """
    if (pid := pid_of(home, actor)) is None:
        raise CommandFailed(f"no process has the log of {actor} open")
    processes.send(pid, signal.SIGKILL)
    deadline = time.monotonic() + GONE_SECONDS
    while processes.find(pid) is not None:
        if time.monotonic() >= deadline:
            raise CommandFailed(f"pid {pid} of {actor} is there after SIGKILL")
        time.sleep(_POLL_SECONDS)


@contextmanager
def nats_stopped(home: Home) -> Iterator[None]:
    """While the block runs nats-server keeps its connections and says nothing.

    Raises `CommandFailed`: it does not run.
    """
    if (pid := nats_pid(home)) is None:
        raise CommandFailed("nats-server does not run")
    processes.send(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        processes.send(pid, signal.SIGCONT)


def _open_files(pid: int) -> Iterator[str]:
    with suppress(OSError):  # it has ended meanwhile
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                yield os.readlink(descriptor)
