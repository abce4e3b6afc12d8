"""The node agent of a cluster, an actor pinned to each raylet: says in the mesh's folder that this
node is here, in `nodes/<node id>.json`, for `tulle run` to find.

Which raylets share this machine nobody needs to configure: an agent that does not find the mesh's
own `outside.json` at its place runs elsewhere, and is of no use. Counterpart: `cluster.py`.
"""

import asyncio
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tulle.deploy import home, processes, settings
from tulle.deploy.errors import Failure
from tulle.deploy.home import Home
from tulle.deploy.node import NodeFile
from tulle.deploy.outside import standing

LOOK_SECONDS: Final = 2.0

_LOG = logging.getLogger("tulle.node")


@dataclass(frozen=True, slots=True)
class AgentSpec:
    """Of one agent. `home`: the mesh's folder; `instance`: of its `outside.json`."""

    mesh: str
    node: str
    home: str
    instance: str

    @property
    def name(self) -> str:
        """The actor's."""
        return f"tulle-node-{self.node}"


class NodeAgent:
    """Starts itself on the running loop; a restart needs nobody."""

    def __init__(self, spec: AgentSpec) -> None:
        self._spec = spec
        self._home = Home(Path(spec.home))
        self._task = asyncio.get_running_loop().create_task(self._stay())

    async def instance(self) -> str:
        """Which mesh it was made for."""
        return self._spec.instance

    async def shares(self) -> bool:
        """Whether it sees the mesh's folder, as its owner."""
        return self._sees()

    async def variable(self, name: str) -> str:
        """What Ray's processes on this node have in their environment; empty: nothing."""
        return settings.inherited().get(name, "")

    async def stop(self) -> None:
        """Says nothing more."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def _sees(self) -> bool:
        try:
            found = standing.read(self._home)
            owner = self._home.root.stat().st_uid
        except (Failure, OSError):
            return False
        return found is not None and found.instance == self._spec.instance and owner == os.getuid()

    async def _stay(self) -> None:
        """Others may remove the file: it is there again in a moment."""
        said = NodeFile(node=self._spec.node, agent=processes.this_process())
        path = self._home.nodes / f"{self._spec.node}.json"
        while True:
            if self._sees() and not _says(path, said):
                try:
                    home.write(path, said)
                except OSError as error:
                    _LOG.warning("not said: path=%s error=%s", path, error)
            await asyncio.sleep(LOOK_SECONDS)


def _says(path: Path, said: NodeFile) -> bool:
    """Whether the file is there and names this process: not one before it."""
    try:
        return NodeFile.model_validate_json(path.read_bytes()) == said
    except (OSError, ValueError):
        return False
