"""Starts and ends what is measured: each contestant forwards one loopback port to the backend.

A contestant is a context manager that yields its port and the process whose CPU counts.
"""

import asyncio
import shutil
import socket
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from tulle.deploy import processes
from tulle.deploy.demo.children import Child
from tulle.deploy.demo.mesh import OwnMesh
from tulle.deploy.home import MeshFile
from tulle.deploy.settings import inherited
from tulle.load import envoy, haproxy, nginx, ours
from tulle.load.rows import UNCOUNTED
from tulle.load.scenarios import HOST

READY_SECONDS = 30.0
END_SECONDS = 5.0
OURS = "tulle"
WITHOUT_TELEMETRY: Final = {"TULLE_TELEMETRY": "off"}
ACTOR_TITLE = b"ray::ProxyActor"
RAY = "ray"  # the Ray host in mesh.json
_POLL_SECONDS = 0.05


class NotReady(Exception):
    """A contestant does not answer; the text says what it said."""


@dataclass(frozen=True, slots=True)
class Contestant:
    """A running contestant: GETs to 127.0.0.1:`port` cost the processes `pids` their CPU."""

    name: str
    port: int
    pids: tuple[int, ...]


@asynccontextmanager
async def backend(folder: Path) -> AsyncIterator[int]:
    """The nginx that all forward to; yields its port."""
    port = free_port()
    config = folder / "backend.conf"
    config.write_text(nginx.backend(port, folder))
    async with running("backend", (program("nginx"), "-c", str(config)), port, folder):
        yield port


@asynccontextmanager
async def _tulle(
    folder: Path, backend: int, name: str = OURS, settings: Mapping[str, str] = MappingProxyType({})
) -> AsyncIterator[Contestant]:
    """The gateway actor of a mesh that is brought up for this and configured by `apply`."""
    mesh = OwnMesh(settings)
    try:
        file = await mesh.up()
        policies = folder / "tulle.yaml"
        policies.write_text(ours.policies(backend))
        await mesh.apply(policies)
        port = mesh.ingress[1]
        await answers(port, lambda: None)
        yield Contestant(name, port, actors_of(file, 1))
    finally:
        await mesh.end()


def _tulle_uncounted(folder: Path, backend: int) -> AbstractAsyncContextManager[Contestant]:
    """Ours as above, but for telemetry: what that costs is the difference."""
    return _tulle(folder, backend, UNCOUNTED, WITHOUT_TELEMETRY)


@asynccontextmanager
async def _envoy(folder: Path, backend: int) -> AsyncIterator[Contestant]:
    port, config = free_port(), folder / "envoy.yaml"
    config.write_text(envoy.config(port, backend, collector=free_port()))
    async with running("envoy", envoy_command(config), port, folder) as pid:
        yield Contestant("envoy", port, (pid,))


@asynccontextmanager
async def _nginx(folder: Path, backend: int) -> AsyncIterator[Contestant]:
    port, config = free_port(), folder / "nginx.conf"
    config.write_text(nginx.proxy(port, backend, folder))
    async with running("nginx", (program("nginx"), "-c", str(config)), port, folder) as pid:
        yield Contestant("nginx", port, (pid,))


@asynccontextmanager
async def _haproxy(folder: Path, backend: int) -> AsyncIterator[Contestant]:
    port, config = free_port(), folder / "haproxy.cfg"
    config.write_text(haproxy.config(port, backend))
    command = (program("haproxy"), "-db", "-f", str(config))
    async with running("haproxy", command, port, folder) as pid:
        yield Contestant("haproxy", port, (pid,))


Start = Callable[[Path, int], AbstractAsyncContextManager[Contestant]]
PEERS: dict[str, Start] = {
    "envoy": _envoy,
    "nginx": _nginx,
    "haproxy": _haproxy,
    UNCOUNTED: _tulle_uncounted,
}
ALL: dict[str, Start] = {OURS: _tulle, **PEERS}


def envoy_command(config: Path) -> tuple[str, ...]:
    """Envoy on one core with `config`."""
    options = ("--concurrency", "1", "--log-level", "warning", "--disable-hot-restart")
    return (program("envoy"), "-c", str(config), *options)


def missing(programs: Sequence[str]) -> list[str]:
    """Which of `programs` are not installed."""
    return [name for name in programs if _found(name) is None]


def free_port() -> int:
    """A port of loopback that nobody uses at the moment."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@asynccontextmanager
async def running(
    name: str, command: Sequence[str], port: int | None, folder: Path, path: str = "/"
) -> AsyncIterator[int]:
    """Runs `command` until the block's end; yields its pid once it answers on `port`.

    `port` None: at once; who needs it waits for it.
    """
    child = await Child.start(name, command, inherited(), folder / f"{name}.log")
    try:
        if port is not None:
            await answers(port, child.check, path)
        yield child.process.pid
    finally:
        await child.end(END_SECONDS)


async def answers(port: int, check: Callable[[], None], path: str = "/") -> None:
    """Waits for a 200 to a GET of `path`. Raises `NotReady`, and what `check` raises."""
    seen = "nothing"
    try:
        async with asyncio.timeout(READY_SECONDS):
            while (seen := await _status_line(port, path)) != "HTTP/1.1 200 OK":
                check()
                await asyncio.sleep(_POLL_SECONDS)
    except TimeoutError:
        raise NotReady(
            f"port {port} answered {seen!r}, not 200, for {READY_SECONDS:.0f} s"
        ) from None


async def _status_line(port: int, path: str) -> str:
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError as error:
        return str(error)
    try:
        request = f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n"
        writer.write(request.encode())
        return (await reader.readline()).decode("latin-1").strip()
    except OSError as error:
        return str(error)
    finally:
        writer.close()


def actors_of(mesh: MeshFile, count: int) -> tuple[int, ...]:
    """The pids of the mesh's `count` proxies, Ray workers. Raises `NotReady` on another number."""
    workers = processes.members(mesh.processes[RAY])
    found = tuple(pid for pid in workers if _title(pid).startswith(ACTOR_TITLE))
    if len(found) != count:
        raise NotReady(f"{len(found)} processes are called {ACTOR_TITLE.decode()}, not {count}")
    return found


def _title(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:  # gone
        return b""


def program(name: str) -> str:
    """The path of an installed program. Raises `NotReady`."""
    if (path := _found(name)) is None:
        raise NotReady(f"{name} is not installed")
    return path


def _found(name: str) -> str | None:
    beside = Path(sys.executable).parent / name  # the virtual environment's own
    if beside.exists():
        return str(beside)
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
