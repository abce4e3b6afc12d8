"""A mesh of one's own with a service of nginx workloads, for commands that measure a promise."""

import asyncio
import shlex
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import MappingProxyType

from tulle.bus.messages import Workload
from tulle.deploy.demo.mesh import OwnMesh
from tulle.load import nginx
from tulle.load.contestants import NotReady, free_port, program

SERVICE = "backend"
PORT = 9080
READY_SECONDS = 60.0
_POLL_SECONDS = 0.1
_ASK = "until curl -fsS -m 5 http://{service}:{port}/ -o {file}; do sleep 0.1; done"


@asynccontextmanager
async def own_mesh(
    settings: Mapping[str, str] = MappingProxyType({}),
) -> AsyncIterator[OwnMesh]:
    """A mesh that is up, and ended afterwards."""
    mesh = OwnMesh(settings)
    try:
        await mesh.up()
        yield mesh
    finally:
        await mesh.end()


async def start_backends(
    mesh: OwnMesh, folder: Path, count: int, *, calling: bool = False
) -> list[Workload]:
    """Runs `count` workloads of the service and returns once all are endpoints.

    `calling`: each calls the service, too, so that all sidecars hold its routes. Raises `Failure`,
    `NotReady`.
    """
    children, answered = [], []
    for index in range(count):
        app, port = folder / f"{SERVICE}-{index}", free_port()
        app.mkdir()
        config, answer = app / "backend.conf", app / "answer"
        config.write_text(nginx.backend(port, app))
        command = f"exec {shlex.quote(program('nginx'))} -c {shlex.quote(str(config))}"
        if calling:
            ask = _ASK.format(service=SERVICE, port=PORT, file=shlex.quote(str(answer)))
            command = f"({ask}) & {command}"
            answered.append(answer)
        ports = f"{port}:{PORT}"
        child = await mesh.run(app.name, SERVICE, "--port", ports, "--", "sh", "-c", command)
        children.append(child)
    try:
        async with asyncio.timeout(READY_SECONDS):
            while len(ready := await _ready(mesh)) < count or not all(map(Path.exists, answered)):
                for child in children:
                    child.check()
                await asyncio.sleep(_POLL_SECONDS)
    except TimeoutError:
        said = f"{count} workloads are not ready within {READY_SECONDS:.0f} s"
        raise NotReady(said) from None
    return ready


async def _ready(mesh: OwnMesh) -> list[Workload]:
    services = (await mesh.services()).services
    return [w for s in services if s.name == SERVICE for w in s.workloads if w.state == "ready"]
