"""The bookstore's six processes on a mesh of their own, and the policies that the steps apply."""

import asyncio
import sys
from pathlib import Path

from tulle.deploy.demo.children import Child, CommandFailed
from tulle.deploy.demo.mesh import OwnMesh

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
READY_SECONDS = 60.0
_POLL_SECONDS = 0.1


class Bookstore(OwnMesh):
    """The demo's mesh."""

    async def run_apps(self) -> None:
        """Starts the six under `tulle run` and waits until all are endpoints. Raises `Failure`."""
        apps = {(service, version): await self._run(service, version) for service, version in APPS}
        late = list(apps.values())
        try:
            async with asyncio.timeout(READY_SECONDS):
                while late:
                    for app in apps.values():
                        app.check()
                    ready = await self._endpoints()
                    late = [app for key, app in apps.items() if key not in ready]
                    await asyncio.sleep(_POLL_SECONDS if late else 0)
        except TimeoutError:
            said = "\n".join(f"{app.name} is no endpoint, it said:\n{app.tail()}" for app in late)
            raise CommandFailed(said) from None

    async def apply_policy(self, name: str) -> None:
        """`tulle apply --wait` of one of the demo's own files. Raises `CommandFailed`."""
        await self.apply(POLICIES / name)

    async def delete_policy(self, kind: str, name: str) -> None:
        """`tulle delete --wait` of one policy. Raises `CommandFailed`."""
        await self.tulle("delete", kind, name, "--wait")

    async def _run(self, service: str, version: str) -> Child:
        app = (sys.executable, "-m", f"tulle.deploy.demo.apps.{service}", version)
        options = ("--port", f"0:{SERVICE_PORT}", "--version", version)
        return await self.run(f"{service}-{version}", service, *options, "--", *app)

    async def _endpoints(self) -> set[tuple[str, str]]:
        """Service and version of each workload that is ready."""
        return {
            (service.name, workload.version)
            for service in (await self.services()).services
            for workload in service.workloads
            if workload.state == "ready"
        }
