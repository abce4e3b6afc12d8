"""The node agent: says which Ray node is on this machine, in `nodes/<node id>.json`.

`tulle run` sends the ids that it finds there; the supervisor pins its sidecar to that node. While
Ray is being started again there is no file, and `mesh.json` says so: it names no node then.
"""

import asyncio
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from tulle.deploy import home, processes
from tulle.deploy.errors import Failure
from tulle.deploy.home import Home
from tulle.deploy.processes import Process

WAIT_SECONDS = 45.0
_POLL_SECONDS = 0.1


class NodeFile(BaseModel):
    """`nodes/<node id>.json`; `agent` is the process that wrote it."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    v: int = 1
    node: str
    agent: Process


def announce(folder: Path, node: str) -> None:
    """Writes the file of `node`. There is one per machine: what others left is removed."""
    withdraw(folder)
    found = NodeFile(node=node, agent=processes.this_process())
    home.write(folder / f"{node}.json", found)


def withdraw(folder: Path) -> None:
    """Removes the file: no workload can start here any more."""
    for file in folder.glob("*.json"):
        file.unlink(missing_ok=True)


async def here(mesh: Home) -> list[str]:
    """The ids of the nodes on this machine; waits while Ray is being started again.

    Raises `Failure` when there is none.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + WAIT_SECONDS
    while not (found := sorted(path.stem for path in mesh.nodes.glob("*.json"))):
        if not is_starting(mesh) or loop.time() > deadline:
            raise Failure(
                f"no node of the mesh shares this machine and file system: {mesh.nodes} names "
                "none; start `tulle up` here, as the same user"
            )
        await asyncio.sleep(_POLL_SECONDS)
    return found


def is_starting(mesh: Home) -> bool:
    """Whether Ray is being started again on this machine, and all proxies with it."""
    try:
        return not mesh.mesh_now().nodes
    except Failure:  # there is no mesh, or its file is damaged
        return False
