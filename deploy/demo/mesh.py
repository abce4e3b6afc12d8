"""A mesh of one's own for as long as it is wanted: free ports, a temporary TULLE_HOME.

Everything goes through the commands that a user has (`tulle up`, `run`, `apply`, `scale`); only
what is asked again and again goes through the same API over one connection. The demo's bookstore
is one; load.peers measures another.
"""

import asyncio
import shutil
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from types import MappingProxyType

import httpx2

from tulle.bus.messages import MeshRequest, ServicesAnswer, StatusAnswer
from tulle.deploy import processes
from tulle.deploy.api import Api, connect, new_id
from tulle.deploy.demo import children, metrics
from tulle.deploy.demo.children import Child, CommandFailed
from tulle.deploy.errors import NoMesh
from tulle.deploy.home import Home, MeshFile, end_leftovers
from tulle.deploy.settings import DEFAULT_MESH, Settings, inherited

TULLE = (sys.executable, "-m", "tulle.deploy.cli")
POOL = "ingress"

UP_SECONDS = 60.0
COMMAND_SECONDS = 60.0
END_SECONDS = 20.0
_POLL_SECONDS = 0.1


class OwnMesh:
    """One mesh and the processes on it. Nothing is left of `home`, its TULLE_HOME, after `end`;
    `layout` is the mesh's folder in it.

    `settings` are more `TULLE_*` variables of its commands.
    """

    def __init__(self, settings: Mapping[str, str] = MappingProxyType({})) -> None:
        self._settings = settings
        self.home = Path(tempfile.mkdtemp(prefix="tulle-", dir="/tmp"))  # short: sockets are in it
        self.layout = Home(self.home / DEFAULT_MESH)
        self.file: MeshFile | None = None
        self._up: Child | None = None
        self._apps: list[Child] = []
        self._api: Api | None = None
        self._stack = AsyncExitStack()

    async def up(self) -> MeshFile:
        """Starts `tulle up` on free ports and waits until it is ready. Raises `Failure`."""
        arguments = ("up", "--ingress-port", "0", "--http-port", "0")
        child = self._up = await self._start("up", arguments)
        try:
            async with asyncio.timeout(UP_SECONDS):
                while not self.layout.mesh_file.exists():
                    child.check()
                    await asyncio.sleep(_POLL_SECONDS)
        except TimeoutError:
            said = f"`tulle up` is not ready after {UP_SECONDS:.0f} s:\n{child.tail()}"
            raise CommandFailed(said) from None
        self.file = self.layout.mesh_now()
        self._api = await self._stack.enter_async_context(connect(Settings(self.home)))
        return self.file

    async def run(self, name: str, *arguments: str) -> Child:
        """Starts `tulle run <arguments>`, which stays; `name` is for messages."""
        child = await self._start(name, ("run", *arguments))
        self._apps.append(child)
        return child

    async def _start(self, name: str, arguments: Sequence[str]) -> Child:
        log = self.home / f"{name}.log"
        return await Child.start(name, (*TULLE, *arguments), self._environment(), log)

    async def tulle(self, *arguments: str) -> str:
        """Runs a command of the mesh to its end; what it printed. Raises `CommandFailed`."""
        command = (*TULLE, *arguments)
        return await children.output_of(command, self._environment(), COMMAND_SECONDS)

    async def apply(self, *files: Path) -> None:
        """`tulle apply --wait` of files. Raises `CommandFailed`."""
        named = [argument for file in files for argument in ("-f", str(file))]
        await self.tulle("apply", *named, "--wait")

    async def scale(self, replicas: int) -> None:
        """`tulle scale ingress N`. Raises `CommandFailed`."""
        await self.tulle("scale", POOL, str(replicas))

    async def status(self) -> StatusAnswer:
        """What `tulle status` shows. Raises `Failure`."""
        api = self._connected()
        request = MeshRequest(id=new_id())
        return await api.ask(api.subjects.api_mesh("status"), request, StatusAnswer)

    async def services(self) -> ServicesAnswer:
        """What `tulle services` and `tulle workloads` show. Raises `Failure`."""
        api = self._connected()
        request = MeshRequest(id=new_id())
        return await api.ask(api.subjects.api_mesh("services"), request, ServicesAnswer)

    async def metrics(self) -> list[metrics.Sample]:
        """What `/metrics` says. Raises `Failure`."""
        try:
            async with httpx2.AsyncClient(trust_env=False, timeout=5.0, verify=False) as client:
                answer = (await client.get(f"{self._ready().http}/metrics")).raise_for_status()
        except httpx2.HTTPError as error:
            raise CommandFailed(f"/metrics: {type(error).__name__}: {error}") from error
        return metrics.parse(answer.text)

    @property
    def ingress(self) -> tuple[str, int]:
        """Where the ingress gateways listen. Raises `NoMesh` before `up`."""
        host, _, port = self._ready().ingress.rpartition(":")
        return host, int(port)

    def _ready(self) -> MeshFile:
        if self.file is None:
            raise NoMesh("this mesh is not up yet")
        return self.file

    def _connected(self) -> Api:
        if self._api is None:
            raise NoMesh("this mesh is not up yet")
        return self._api

    def _environment(self) -> dict[str, str]:
        kept = {name: text for name, text in inherited().items() if not name.startswith("TULLE_")}
        return kept | dict(self._settings) | {"TULLE_HOME": str(self.home)}

    async def end(self) -> list[str]:
        """Ends the applications, then the mesh, then removes its folder. Never raises `Failure`.

        Names what did not go by itself within its time and had to be killed.
        """
        await self._stack.aclose()
        ended = await asyncio.gather(*(app.end(END_SECONDS) for app in self._apps))
        stuck = [app.name for app, well in zip(self._apps, ended, strict=True) if not well]
        if self._up is not None and not await self._up.end(END_SECONDS):
            stuck.append("tulle up")
        stuck += await asyncio.to_thread(end_leftovers, self.layout)
        for pid in (left := children.left_over(self.home)):
            processes.send(pid, signal.SIGKILL)
        await asyncio.to_thread(shutil.rmtree, self.home, ignore_errors=bool(left))
        return [*stuck, *(f"pid {pid}" for pid in left)]
