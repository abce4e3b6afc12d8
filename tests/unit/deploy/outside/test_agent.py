"""The node agent: says that its node is here when it sees the mesh's own folder, else nothing."""

import asyncio
from pathlib import Path

import pytest

from tulle.deploy import processes
from tulle.deploy.home import Home
from tulle.deploy.node import NodeFile
from tulle.deploy.outside import agent, standing
from tulle.deploy.outside.agent import AgentSpec, NodeAgent


@pytest.fixture
def where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setattr(agent, "LOOK_SECONDS", 0.01)
    home = Home(tmp_path / "m")
    home.make()
    return home


def started(where: Home, instance: str) -> NodeAgent:
    return NodeAgent(AgentSpec("m", "n1", str(where.root), instance))


async def until_said(where: Home) -> NodeFile:
    async with asyncio.timeout(5):
        while True:
            try:
                found = NodeFile.model_validate_json((where.nodes / "n1.json").read_bytes())
            except FileNotFoundError:
                await asyncio.sleep(0.01)
            else:
                if found.agent == processes.this_process():
                    return found
                await asyncio.sleep(0.01)


@pytest.mark.asyncio
async def test_it_says_that_it_is_here_and_says_it_again(where: Home) -> None:
    instance = standing.begin(where, "r:1", "tls://n:1").instance
    of = started(where, instance)
    try:
        assert await of.shares()
        assert await of.instance() == instance
        assert (await until_said(where)).node == "n1"
        (where.nodes / "n1.json").unlink()
        await until_said(where)
        dead = NodeFile(node="n1", agent=processes.Process(pid=1, started=1))
        (where.nodes / "n1.json").write_text(dead.model_dump_json())
        await until_said(where)
    finally:
        await of.stop()


@pytest.mark.asyncio
async def test_where_the_folder_is_another_one_it_says_nothing(where: Home) -> None:
    for instance in ("", "other"):
        if instance:
            standing.begin(where, "r:1", "tls://n:1")
        of = started(where, instance or "x")
        try:
            assert not await of.shares()
            await asyncio.sleep(0.05)
            assert list(where.nodes.iterdir()) == []
        finally:
            await of.stop()
