"""The demo's mesh and the bookstore's six processes on it, from first start to last trace.

Everything goes through the commands that a user has (`tulle up`, `run`, `apply`, `scale`); only
what is asked again and again goes through the same API over one connection.
"""

import asyncio
import sys
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import httpx2

from tulle.bus.messages import MeshRequest, ServicesAnswer, StatusAnswer
from tulle.deploy.api import Api, connect, new_id
from tulle.deploy.demo import children, metrics
from tulle.deploy.demo.children import Child, CommandFailed
from tulle.deploy.errors import NoMesh
from tulle.deploy.home import Home, MeshFile, end_leftovers
from tulle.deploy.settings import DEFAULT_MESH, Settings, inherited

TULLE = (sys.executable, "-m", "tulle.deploy.cli")
POLICIES = Path(__file__).parent / "policies"
APPS = (
    ("details", "v1"),
    ("ratings", "v1"),
    ("reviews", "v1"),
    ("reviews", "v2"),
    ("reviews", "v3"),
    ("productpage", "v1"),
)
SERVICE_PORT = 9080
POOL = "ingress"

UP_SECONDS = 60.0
READY_SECONDS = 60.0
COMMAND_SECONDS = 60.0
END_SECONDS = 20.0
_POLL_SECONDS = 0.1


@dataclass(slots=True)
class Bookstore:
    """One demo's processes. `home` is its TULLE_HOME."""

    home: Path
    mesh: MeshFile | None = None
    _children: list[Child] = field(default_factory=list)
    _api: Api | None = None
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    # Start

    async def up(self) -> MeshFile:
        """Starts `tulle up` on free ports and waits until it is ready. Raises `Failure`."""
        child = await self._start("up", "up", "--ingress-port", "0", "--http-port", "0")
        layout = Home(self.home / DEFAULT_MESH)
        async with asyncio.timeout(UP_SECONDS):
            while not layout.mesh_file.exists():
                child.check()
                await asyncio.sleep(_POLL_SECONDS)
        self.mesh = layout.mesh_now()
        self._api = await self._stack.enter_async_context(connect(Settings(self.home)))
        return self.mesh

    async def run_apps(self) -> None:
        """Starts the six under `tulle run` and waits until all are endpoints. Raises `Failure`."""
        apps = [await self._run(service, version) for service, version in APPS]
        async with asyncio.timeout(READY_SECONDS):
            while len(await self._ready()) < len(APPS):
                for app in apps:
                    app.check()
                await asyncio.sleep(_POLL_SECONDS)

    async def _run(self, service: str, version: str) -> Child:
        module = f"tulle.deploy.demo.apps.{service}"
        app = (sys.executable, "-m", module, version)
        port = ("--port", f"0:{SERVICE_PORT}")
        return await self._start(
            f"{service}-{version}", "run", service, *port, "--version", version, "--", *app
        )

    async def _start(self, name: str, *arguments: str) -> Child:
        log = self.home / f"{name}.log"
        child = await Child.start(name, (*TULLE, *arguments), self._environment(), log)
        self._children.append(child)
        return child

    # Use

    async def apply(self, *names: str) -> None:
        """`tulle apply --wait` of files in policies/. Raises `CommandFailed`."""
        files = [argument for name in names for argument in ("-f", str(POLICIES / name))]
        await self.tulle("apply", *files, "--wait")

    async def scale(self, replicas: int) -> None:
        """`tulle scale ingress N`. Raises `CommandFailed`."""
        await self.tulle("scale", POOL, str(replicas))

    async def tulle(self, *arguments: str) -> str:
        """Runs a command of the mesh; what it printed. Raises `CommandFailed`."""
        command = (*TULLE, *arguments)
        return await children.output_of(command, self._environment(), COMMAND_SECONDS)

    async def status(self) -> StatusAnswer:
        """What `tulle status` shows."""
        api = self._connected()
        request = MeshRequest(id=new_id())
        return await api.ask(api.subjects.api_mesh("status"), request, StatusAnswer)

    async def services(self) -> ServicesAnswer:
        """What `tulle services` and `tulle workloads` show."""
        api = self._connected()
        request = MeshRequest(id=new_id())
        return await api.ask(api.subjects.api_mesh("services"), request, ServicesAnswer)

    async def metrics(self) -> list[metrics.Sample]:
        """What `/metrics` says. Raises `CommandFailed`."""
        if self.mesh is None:
            raise NoMesh("the demo's mesh is not up")
        try:
            async with httpx2.AsyncClient(trust_env=False, timeout=5.0, verify=False) as client:
                answer = (await client.get(f"{self.mesh.http}/metrics")).raise_for_status()
        except httpx2.HTTPError as error:
            raise CommandFailed(f"/metrics: {type(error).__name__}: {error}") from error
        return metrics.parse(answer.text)

    @property
    def ingress(self) -> tuple[str, int]:
        """Where the ingress gateway listens."""
        if self.mesh is None:
            raise NoMesh("the demo's mesh is not up")
        host, _, port = self.mesh.ingress.rpartition(":")
        return host, int(port)

    async def _ready(self) -> list[str]:
        answer = await self.services()
        return [w.id for s in answer.services for w in s.workloads if w.state == "ready"]

    def _connected(self) -> Api:
        if self._api is None:
            raise NoMesh("the demo's mesh is not up")
        return self._api

    def _environment(self) -> dict[str, str]:
        kept = {k: v for k, v in inherited().items() if not k.startswith("TULLE_")}
        return kept | {"TULLE_HOME": str(self.home)}

    # End

    async def end(self) -> list[str]:
        """Ends the applications, then the mesh. Names what did not go by itself."""
        await self._stack.aclose()
        up, apps = self._children[:1], self._children[1:]
        ended = await asyncio.gather(*(app.end(END_SECONDS) for app in apps))
        ended += [await child.end(END_SECONDS) for child in up]
        stuck = [child.name for child, well in zip(apps + up, ended, strict=True) if not well]
        stuck += await asyncio.to_thread(end_leftovers, Home(self.home / DEFAULT_MESH))
        return stuck
