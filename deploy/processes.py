"""Processes by pid and start time, so that a number that was given out again is never mistaken.

A child that `up` starts leads a session of its own: whatever it starts in turn stays in that
session, also when its parent dies, so a whole tree is found and ended by the one pid. Linux only:
read from /proc.
"""

import contextlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from pydantic import BaseModel, ConfigDict

_STATE, _SESSION, _STARTED = 0, 3, 19  # fields of /proc/<pid>/stat, counted after the name
_POLL_SECONDS = 0.05


class Process(BaseModel):
    """A process as files name it; `started` is in clock ticks since the machine's start."""

    model_config = ConfigDict(frozen=True)
    pid: int
    started: int


def this_process() -> Process:
    """The one that runs this."""
    process = find(os.getpid())
    assert process is not None  # it runs
    return process


def find(pid: int) -> Process | None:
    """The process of that pid; None: there is none, or it only waits for its parent's `wait`."""
    fields = _stat(pid)
    if fields is None or fields[_STATE] in "ZX":
        return None
    return Process(pid=pid, started=int(fields[_STARTED]))


def runs(process: Process) -> bool:
    """Whether exactly this process still runs."""
    return find(process.pid) == process


def members(leader: Process) -> list[int]:
    """Pids of the session that `leader` leads or led, `leader` included."""
    there = find(leader.pid)
    if there is not None and there != leader:
        return []  # the pid leads somebody else's session by now
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        fields = _stat(int(entry.name))
        if fields and fields[_STATE] not in "ZX" and int(fields[_SESSION]) == leader.pid:
            found.append(int(entry.name))
    return sorted(found)


def end(leader: Process, seconds: float) -> bool:
    """Ends the session: SIGTERM to the leader, and when it has gone or `seconds` have, SIGKILL to
    all that are left. Blocks for as long. False: nothing of it was running.
    """
    if not members(leader):
        return False
    if runs(leader):
        send(leader.pid, signal.SIGTERM)
    deadline = time.monotonic() + seconds
    while runs(leader) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    kill(leader)
    return True


def kill(leader: Process, seconds: float = 5.0) -> None:
    """SIGKILL to all of the session until none is left, `seconds` at most."""
    _kill(lambda: members(leader), seconds)


def kill_others(leader: Process, seconds: float = 5.0) -> None:
    """As `kill`, but for the leader itself."""
    _kill(lambda: [pid for pid in members(leader) if pid != leader.pid], seconds)


def _kill(who: Callable[[], list[int]], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while (left := who()) and time.monotonic() < deadline:
        for pid in left:
            send(pid, signal.SIGKILL)
        time.sleep(_POLL_SECONDS)


def send(pid: int, number: int) -> None:
    """Sends a signal; no matter if the process has ended meanwhile."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _stat(pid: int) -> list[str] | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return text.rpartition(")")[2].split()
