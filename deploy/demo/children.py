"""The demo's child processes: each leads a session, writes to a file, and is ended in order.

Ctrl-C on the terminal does not reach them (they have sessions of their own), so the demo ends
them in its own order; if the demo itself is killed, they get a SIGTERM from the kernel.
"""

import asyncio
import ctypes
import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tulle.deploy import processes
from tulle.deploy.errors import Failure

_PR_SET_PDEATHSIG = 1
_TAIL_BYTES = 4096
_libc = ctypes.CDLL(None, use_errno=True)


class CommandFailed(Failure):
    """A command of the demo's did not do what it was to do; the text ends with what it said."""


@dataclass(slots=True)
class Child:
    """A process that stays. `name` is for messages; `log` takes both of its outputs."""

    name: str
    process: asyncio.subprocess.Process
    leader: processes.Process
    log: Path

    @classmethod
    async def start(
        cls, name: str, command: Sequence[str], env: Mapping[str, str], log: Path
    ) -> "Child":
        """Starts it in a session of its own. Raises OSError."""
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                *command,
                env=dict(env),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )
        leader = processes.find(process.pid)
        return cls(name, process, leader or processes.Process(pid=process.pid, started=0), log)

    def check(self) -> None:
        """Raises `CommandFailed` when it has ended though nobody asked it to."""
        if (status := self.process.returncode) is not None:
            raise CommandFailed(f"{self.name} ended with status {status}:\n{self.tail()}")

    def tail(self) -> str:
        """The last 4 KB of what it said."""
        with self.log.open("rb") as file:
            file.seek(max(0, self.log.stat().st_size - _TAIL_BYTES))
            return file.read().decode(errors="replace").strip() or "(it said nothing)"

    async def end(self, seconds: float) -> bool:
        """SIGTERM, after `seconds` SIGKILL to all of its session. False: it had to be killed."""
        if self.process.returncode is None:
            self.process.terminate()
        try:
            async with asyncio.timeout(seconds):
                await self.process.wait()
        except TimeoutError:
            await asyncio.to_thread(processes.kill, self.leader)
            await self.process.wait()
            return False
        await asyncio.to_thread(processes.kill, self.leader)  # what it may have left
        return True


async def output_of(command: Sequence[str], env: Mapping[str, str], seconds: float) -> str:
    """Runs a command to its end and returns what it printed. Raises `CommandFailed`."""
    process = await asyncio.create_subprocess_exec(
        *command,
        env=dict(env),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
        preexec_fn=_die_with_parent,
    )
    said = " ".join(command[1:])
    try:
        async with asyncio.timeout(seconds):
            out, err = await process.communicate()
    except TimeoutError:
        raise CommandFailed(f"`{said}` did not end within {seconds:.0f} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        text = err.decode(errors="replace").strip()
        raise CommandFailed(f"`{said}` ended with status {process.returncode}:\n{text}")
    return out.decode(errors="replace")


def left_over(home: Path) -> list[int]:
    """Pids of processes that still have something to do with `home`: by environment or arguments.

    All that the demo starts inherits its TULLE_HOME.
    """
    needle, own = os.fsencode(home), os.getpid()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != own and _mentions(entry, needle):
            found.append(int(entry.name))
    return sorted(found)


def _mentions(folder: Path, needle: bytes) -> bool:
    try:
        return any(needle in (folder / name).read_bytes() for name in ("environ", "cmdline"))
    except OSError:  # gone, or somebody else's
        return False


def _die_with_parent() -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
