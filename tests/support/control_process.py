"""Control actors in processes of their own, on a real NATS, to be killed and frozen.

async with replica(spec, FAST) as leader: ...
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from tulle.actors.control import ControlSpec
from tulle.actors.evaluator.actor import EvaluatorActor
from tulle.actors.leadership import Timing
from tulle.actors.supervisor.actor import SupervisorActor
from tulle.actors.supervisor.launcher import MemoryLauncher

SERVES = b"serves\n"


@dataclass(frozen=True, slots=True)
class Replica:
    """A running process; `spec.log_folder` has its log."""

    spec: ControlSpec
    process: asyncio.subprocess.Process

    @property
    def name(self) -> str:
        """As in `status`."""
        return self.spec.name

    def kill(self) -> None:
        """Without a word."""
        self.process.kill()

    def freeze(self) -> None:
        """It keeps its connections and does nothing, until `thaw`."""
        os.kill(self.process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """It goes on as if no time had passed."""
        os.kill(self.process.pid, signal.SIGCONT)

    def said(self) -> str:
        """Its log."""
        return (Path(self.spec.log_folder) / f"{self.name}.log").read_text()


@asynccontextmanager
async def replica(spec: ControlSpec, timing: Timing | None = None) -> AsyncIterator[Replica]:
    """An evaluator or a supervisor (its proxies are remembered only); `timing`: an evaluator's."""
    told = json.dumps({"spec": asdict(spec), "timing": asdict(timing) if timing else None})
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.support.control_process", told, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(20):
            assert await process.stdout.readline() == SERVES
        yield Replica(spec, process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _serve(spec: ControlSpec, timing: Timing | None) -> None:
    actor: EvaluatorActor | SupervisorActor
    if spec.role == "evaluator":
        actor = EvaluatorActor(spec, timing)
    else:
        actor = SupervisorActor(spec, MemoryLauncher())
    await actor.health()
    sys.stdout.buffer.write(SERVES)
    sys.stdout.buffer.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    asyncio.run(
        _serve(ControlSpec(**given["spec"]), Timing(**given["timing"]) if given["timing"] else None)
    )
