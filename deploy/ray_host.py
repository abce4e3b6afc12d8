"""The Ray host as the watcher's child: started, listened to, ended with all that it started.

Counterpart: `local.py`, which runs in it and says what happens as JSON lines on stdout.
"""

import asyncio
import contextlib
import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from tulle.deploy import processes
from tulle.deploy.errors import Failure
from tulle.deploy.processes import Process

_LINE_LIMIT = 1 << 20
_TAIL_BYTES = 4096
_LOG = logging.getLogger("tulle.up")


class RayHost:
    """A process in a session of its own, `module`. `log` takes what it writes on stderr."""

    def __init__(self, log: Path, module: str = "tulle.deploy.local") -> None:
        self._log = log
        self._module = module
        self._process: asyncio.subprocess.Process | None = None
        self.leader: Process | None = None

    async def start(self, arguments: Sequence[str]) -> None:
        """Starts it; `events` says how far it is."""
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                self._module,
                *arguments,
                stdin=asyncio.subprocess.PIPE,  # its end tells the host that the watcher is gone
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                limit=_LINE_LIMIT,
                start_new_session=True,
            )
        self.leader = processes.find(self._process.pid)

    async def event(self) -> str:
        """The name of the next event. Raises `Failure` when there will be none: it has ended.

        Then with what it said of that itself, or with the end of its log.
        """
        assert self._process is not None and self._process.stdout is not None
        while line := await self._process.stdout.readline():
            with contextlib.suppress(ValueError, KeyError, TypeError):
                said = json.loads(line)
                if "error" in said:
                    raise Failure(str(said["error"]))
                return str(said["event"])
            _LOG.warning("the Ray host said %r", line)
        status = await self._process.wait()
        raise Failure(f"the Ray host ended with status {status}; {self._log} ends:\n{self._tail()}")

    async def stop(self, seconds: float) -> None:
        """SIGTERM, and SIGKILL to all of its session after `seconds`."""
        if self._process is None or self.leader is None:
            return
        await asyncio.to_thread(processes.end, self.leader, seconds)
        await self._process.wait()

    def _tail(self) -> str:
        with self._log.open("rb") as file:
            file.seek(max(0, self._log.stat().st_size - _TAIL_BYTES))
            return file.read().decode(errors="replace").strip()
