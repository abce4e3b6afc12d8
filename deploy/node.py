"""The node agent: says which Ray node is on this machine, in `nodes/<node id>.json`.

`tulle run` sends the ids that it finds there; the supervisor pins its sidecar to that node.
"""

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from tulle.deploy import home, processes
from tulle.deploy.processes import Process


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
