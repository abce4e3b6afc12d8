"""Processes of followers (`followers.py`), as those who measure with them see them."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tulle.deploy.settings import inherited
from tulle.load.contestants import NotReady
from tulle.load.followers import Job

EVENT_SECONDS = 120.0
_LINE_LIMIT = 1 << 22
_TAIL_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Followers:
    """One process; `log` takes what it says on stderr."""

    process: asyncio.subprocess.Process
    log: Path

    async def event(self, name: str) -> dict[str, object]:
        """The next event of that name, those before it passed over. Raises `NotReady`."""
        assert self.process.stdout is not None
        try:
            async with asyncio.timeout(EVENT_SECONDS):
                while line := await self.process.stdout.readline():
                    found: dict[str, object] = json.loads(line)
                    if found["event"] == name:
                        return found
        except TimeoutError:
            raise NotReady(f"no {name!r} within {EVENT_SECONDS:.0f} s: {self._said()}") from None
        raise NotReady(f"the simulated proxies ended: {self._said()}")

    async def installed(self, name: str) -> list[float]:
        """Unix times at which each had installed the routes of that name."""
        while (found := await self.event("installed"))["name"] != name:
            pass
        times = found["at"]
        assert isinstance(times, list)
        return [float(at) for at in times]

    def send(self, command: str) -> None:
        """Tells it `begin` or `end`."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{command}\n".encode())

    def _said(self) -> str:
        return self.log.read_text(errors="replace")[-_TAIL_BYTES:].strip() or "(it said nothing)"


@asynccontextmanager
async def crowd(jobs: Sequence[Job], folder: Path) -> AsyncIterator[list[Followers]]:
    """A process for each job, started at once; ended afterwards."""
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(_started(job, folder / f"followers-{job.first}.log"))
            for job in jobs
        ]


@asynccontextmanager
async def _started(job: Job, log: Path) -> AsyncIterator[Followers]:
    with log.open("wb") as errors:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "tulle.load.followers"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            env=inherited(),
            limit=_LINE_LIMIT,
        )
    try:
        followers = Followers(process, log)
        followers.send(job.model_dump_json())
        yield followers
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
