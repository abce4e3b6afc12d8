"""Which process an actor of a mesh is, by the log that it writes; and what becomes of it."""

import contextlib
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.processes import processes_of


def pid_of(home: Path, actor: str) -> int | None:
    """The process of actor `tulle-<kind>-<id>` of mesh `default`; None: it does not run now."""
    log = str(home / "default" / "logs" / f"{actor}.log")
    return next((pid for pid in processes_of(home) if log in _open_files(pid)), None)


def kill(home: Path, actor: str) -> int:
    """Ends an actor without a word; the process that it was."""
    pid = pid_of(home, actor)
    assert pid is not None, f"{actor} does not run"
    os.kill(pid, signal.SIGKILL)
    return pid


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """The process hangs while the block runs: it keeps its sockets and does nothing."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def _open_files(pid: int) -> set[str]:
    found = set()
    with contextlib.suppress(OSError):
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                found.add(os.readlink(descriptor))
    return found
