"""The watcher: `tulle up` starts a mesh on this machine, keeps it up, and ends it in order.

It holds the listening sockets of the gateways and of the HTTP port (actors.holding), has two
children, nats-server and the Ray host (`local.py`), starts again what dies of them, and does
nothing else: it decides nothing, and no request passes through it.
"""

import asyncio
import ipaddress
import logging
import signal
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

from tulle.actors.holding.holder import Holder
from tulle.bus.connection import connect
from tulle.bus.errors import ServerFailed
from tulle.bus.permissions import Role
from tulle.bus.server import NatsServer
from tulle.bus.subjects import Subjects
from tulle.deploy import home, logs, node, processes
from tulle.deploy.api import Api, said_plainly
from tulle.deploy.binding import INGRESS_TLS_PORT, Binding, opened
from tulle.deploy.errors import Failure, Usage
from tulle.deploy.home import Children, Home, MeshFile
from tulle.deploy.processes import Process
from tulle.deploy.progress import Progress
from tulle.deploy.ray_host import RayHost
from tulle.deploy.ready import Readiness, unless
from tulle.deploy.settings import Settings

READY_SECONDS = 90.0
END_RAY_SECONDS = 20.0
RESTART_PAUSE_SECONDS = 1.0

READY = "ready"  # the last phase
LAST_EVENT = "actors-ready"
_PHASES = {"ray-ready": "Ray", LAST_EVENT: "actors"}  # of local.py's events

_LOG = logging.getLogger("tulle.up")


@dataclass(frozen=True, slots=True)
class UpOptions:
    """Made by `parse`. A port 0 becomes a free one."""

    bind: str
    ingress_port: int
    http_port: int
    ingress_tls_port: int = INGRESS_TLS_PORT

    @classmethod
    def parse(
        cls,
        *,
        bind: str,
        ingress_port: int,
        http_port: int,
        ingress_tls_port: int = INGRESS_TLS_PORT,
    ) -> "UpOptions":
        """The options of a command line. Raises `Usage`."""
        try:
            ipaddress.ip_address(bind)
        except ValueError:
            raise Usage(f"--bind {bind!r}: an address is needed, as in 127.0.0.1") from None
        return cls(bind, ingress_port, http_port, ingress_tls_port)


def keep_up(of: Settings, options: UpOptions, *, in_foreground: bool = True) -> None:
    """Returns when a signal has ended the mesh and nothing of it runs. Raises `Failure`.

    Logs go to stderr, or to `logs/watcher.log` when not `in_foreground`.
    """
    where = Home(of.mesh_folder)
    where.make()
    logs.start(
        as_json=of.json_logs,
        file=None if in_foreground else where.logs / "watcher.log",
        level=logging.WARNING if sys.stderr.isatty() else logging.INFO,
    )
    with home.lock(where):
        progress = Progress()
        for name in home.end_leftovers(where):
            progress.say(f"ended {name}, which a killed `tulle up` had left")
        asyncio.run(Watcher(of, options, progress).run())


class Watcher:
    """One mesh, from start to end. All of it belongs to one loop."""

    def __init__(self, of: Settings, options: UpOptions, progress: Progress) -> None:
        self._mesh = of.mesh
        self._access_log = of.access_log
        self._leaf_ttl = of.leaf_ttl
        self._options = options
        self._progress = progress
        self._home = Home(of.mesh_folder)
        self._nats = NatsServer(self._home.nats, self._home.creds, Subjects(of.mesh))
        self._ray = RayHost(self._home.logs / "ray-host.log")
        self._children = Children(up=processes.this_process())
        self._binding: Binding | None = None  # once it is ready
        self._ray_starts = True

    async def run(self) -> None:
        """Starts everything, waits for a signal, ends everything. Raises `Failure`."""
        this = asyncio.current_task()
        assert this is not None  # a coroutine runs in one
        stopped = False

        def stop() -> None:
            nonlocal stopped
            if not stopped:  # a second signal must not break the order of the end
                stopped = True
                this.cancel()

        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, stop)
        try:
            async with AsyncExitStack() as stack:
                await self._keep(stack)
        except asyncio.CancelledError:
            if not stopped:
                raise
        self._progress.say("ended, nothing of it runs any more")

    async def _keep(self, stack: AsyncExitStack) -> None:
        options = self._options
        binding = Binding(
            options.bind, options.ingress_port, options.http_port, options.ingress_tls_port
        )
        holder = Holder(
            str(self._home.holder),
            lambda _proxy, _pool, name: binding.of(name),
            expected=lambda: self._ray_starts,
        )
        stack.push_async_callback(holder.close)
        binding = opened(binding, holder.reserve)  # before anything takes time
        self._note()
        stack.callback(self._home.children_file.unlink, missing_ok=True)
        await holder.start()
        stack.push_async_callback(self._nats.stop)
        await self._start_nats()
        self._progress.done("NATS")
        stack.push_async_callback(self._ray.stop, END_RAY_SECONDS)
        await self._start_ray()
        await self._until_ready(binding)
        stack.callback(self._home.mesh_file.unlink, missing_ok=True)
        self._binding = binding
        self._write_mesh_file(self._nodes())
        self._progress.done(f"{READY}: ingress on {binding.ingress}, {binding.http}/metrics")
        self._progress.say("Ctrl-C or `tulle down` ends it; `tulle status` shows it")
        await asyncio.gather(self._keep_nats(), self._keep_ray())

    async def _until_ready(self, binding: Binding) -> None:
        """Raises `Failure` when the Ray host ends or the time is up."""
        who = self._nats.credentials(Role.OPERATOR)
        with said_plainly():
            connection = await connect(who.url, who, name="tulle-up")
        async with connection:
            readiness = Readiness(
                Api(self._mesh, connection, retries=False), binding, self._progress.done
            )
            try:
                async with asyncio.timeout(READY_SECONDS):
                    await unless(self._follow_ray(), readiness.wait())
            except TimeoutError:
                raise Failure(self._late(readiness.missing)) from None

    def _late(self, missing: Sequence[str]) -> str:
        logs_of_ray = self._home.ray / "session_latest" / "logs"
        return (
            f"not ready within {READY_SECONDS:.0f} s: {' and '.join(missing)} did not come; "
            f"see {self._home.logs} and {logs_of_ray}"
        )

    async def _follow_ray(self) -> None:
        """Raises `Failure` when it ends."""
        while True:
            event = await self._ray.event()
            self._ray_starts = event != LAST_EVENT
            self._progress.done(_PHASES.get(event, event))
            if event == LAST_EVENT:  # of one that was started again
                self._write_mesh_file(self._nodes())

    async def _start_nats(self) -> None:
        try:
            await self._nats.start()
        except ServerFailed as error:
            raise Failure(str(error)) from error
        assert self._nats.pid is not None  # it has started
        self._note("nats", processes.find(self._nats.pid))

    async def _start_ray(self) -> None:
        arguments = {
            "--mesh": self._mesh,
            "--mesh-home": str(self._home.root),
            "--nats-url": self._nats.url,
            "--access-log": self._access_log,
            "--leaf-ttl": str(self._leaf_ttl),
        }
        await self._ray.start([word for pair in arguments.items() for word in pair])
        self._note("ray", self._ray.leader)

    async def _keep_nats(self) -> None:
        while True:
            status = await self._nats.wait()
            _LOG.error("nats-server ended with status %d: it is started again", status)
            try:
                await self._start_nats()
            except Failure as error:
                _LOG.error("%s", error)
            await asyncio.sleep(RESTART_PAUSE_SECONDS)

    async def _keep_ray(self) -> None:
        while True:
            try:
                await self._follow_ray()
            except Failure as error:
                _LOG.error("%s", error)
            self._ray_starts = True
            self._progress.again("Ray has ended, it is started again")
            await self._ray.stop(END_RAY_SECONDS)
            self._write_mesh_file(nodes=())  # first: who finds none may then know why
            node.withdraw(self._home.nodes)
            try:
                await self._start_ray()
            except OSError as error:
                _LOG.error("the Ray host can't be started yet: %s", error)
            await asyncio.sleep(RESTART_PAUSE_SECONDS)

    def _note(self, name: str = "", process: Process | None = None) -> None:
        """Writes down who runs, for the `up` after one that was killed."""
        if process is not None:
            known = {**self._children.processes, name: process}
            self._children = self._children.model_copy(update={"processes": known})
        home.write(self._home.children_file, self._children)

    def _nodes(self) -> Sequence[str]:
        return sorted(path.stem for path in self._home.nodes.glob("*.json"))

    def _write_mesh_file(self, nodes: Sequence[str]) -> None:
        """Does nothing before the mesh is ready for the first time."""
        if (binding := self._binding) is None:
            return
        assert self._children.up is not None  # noted at the start
        mesh = MeshFile(
            mesh=self._mesh,
            nats_url=self._nats.url,
            creds=str(self._home.creds),
            ingress=binding.ingress,
            http=binding.http,
            bind=binding.address,
            up=self._children.up,
            processes=self._children.processes,
            nodes=list(nodes),
        )
        home.write(self._home.mesh_file, mesh)
