"""The demo's children are ended in order, also when they do not want to."""

import os
import sys
from pathlib import Path

import pytest

from tests.support.awaiting import until
from tulle.deploy import processes
from tulle.deploy.demo.children import Child, CommandFailed, left_over, output_of

STUBBORN = (
    "import signal, subprocess, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']); "
    "print('up', flush=True); time.sleep(600)"
)


def python(text: str) -> tuple[str, ...]:
    return (sys.executable, "-c", text)


@pytest.mark.asyncio
async def test_one_that_ends_by_itself_says_so_with_its_last_words(tmp_path: Path) -> None:
    command = python("import sys; sys.exit('no nats-server here')")
    child = await Child.start("up", command, os.environ, tmp_path / "log")
    await child.process.wait()
    with pytest.raises(CommandFailed, match=r"up ended with status 1:\nno nats-server here"):
        child.check()
    assert await child.end(1.0)


@pytest.mark.asyncio
async def test_one_that_does_not_want_to_is_killed_with_all_that_it_started(
    tmp_path: Path,
) -> None:
    env = {**os.environ, "TULLE_HOME": str(tmp_path)}
    child = await Child.start("stubborn", python(STUBBORN), env, tmp_path / "log")
    await until(lambda: b"up" in child.log.read_bytes())
    assert len(processes.members(child.leader)) == 2
    assert len(left_over(tmp_path)) == 2
    assert not await child.end(0.1)
    assert processes.members(child.leader) == []
    assert left_over(tmp_path) == []


@pytest.mark.asyncio
async def test_a_commands_output_or_why_it_failed() -> None:
    assert await output_of(python("print('well')"), os.environ, 10.0) == "well\n"
    with pytest.raises(CommandFailed, match="status 3:\nnot applied"):
        bad = python("import sys; print('not applied', file=sys.stderr); sys.exit(3)")
        await output_of(bad, os.environ, 10.0)
    with pytest.raises(CommandFailed, match="did not end within"):
        await output_of(python("import time; time.sleep(60)"), os.environ, 0.2)
