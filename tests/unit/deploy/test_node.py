"""The node agent's file: there is one, it names this process, and it goes."""

import asyncio
from pathlib import Path

import pytest

from tulle.deploy import node, processes
from tulle.deploy.errors import Failure
from tulle.deploy.home import Home, MeshFile
from tulle.deploy.node import NodeFile


def test_the_file_names_node_and_agent(tmp_path: Path) -> None:
    node.announce(tmp_path, "abc")
    found = NodeFile.model_validate_json((tmp_path / "abc.json").read_bytes())
    assert (found.node, found.agent) == ("abc", processes.this_process())
    assert (tmp_path / "abc.json").stat().st_mode & 0o777 == 0o600


def test_a_new_node_replaces_what_a_killed_one_left(tmp_path: Path) -> None:
    node.announce(tmp_path, "old")
    node.announce(tmp_path, "new")
    assert [file.name for file in tmp_path.iterdir()] == ["new.json"]


def test_a_withdrawn_node_is_not_there(tmp_path: Path) -> None:
    node.announce(tmp_path, "abc")
    node.withdraw(tmp_path)
    assert list(tmp_path.iterdir()) == []


def mesh_that_names(home: Home, *nodes: str) -> None:
    file = MeshFile(
        mesh="default",
        nats_url="",
        creds="",
        ingress="",
        http="",
        bind="",
        up=processes.this_process(),
        processes={},
        nodes=list(nodes),
    )
    home.root.mkdir(exist_ok=True)
    home.nodes.mkdir(exist_ok=True)
    home.mesh_file.write_text(file.model_dump_json())


@pytest.mark.asyncio
async def test_while_ray_is_started_again_its_node_is_awaited(tmp_path: Path) -> None:
    mesh = Home(tmp_path / "default")
    mesh_that_names(mesh)
    waiting = asyncio.create_task(node.here(mesh))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    node.announce(mesh.nodes, "abc")
    assert await asyncio.wait_for(waiting, 5) == ["abc"]


@pytest.mark.asyncio
async def test_elsewhere_there_is_nothing_to_wait_for(tmp_path: Path) -> None:
    mesh = Home(tmp_path / "default")
    mesh_that_names(mesh, "on-another-machine")
    with pytest.raises(Failure, match="no node of the mesh"):
        await node.here(mesh)
    with pytest.raises(Failure, match="no node of the mesh"):
        await node.here(Home(tmp_path / "no-mesh"))
