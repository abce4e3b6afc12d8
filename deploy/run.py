"""`tulle run`: an app in the mesh, from its sidecar's start to its process group's end.

The thin shell around `lifecycle.py`: it turns the world into events and performs the effects. It
holds the sidecar's listening sockets (actors.holding), so that they outlive the sidecar; the
connection between the two is how each notices the other's death.
"""

import asyncio
import contextlib
import logging
import secrets
import signal
import socket
from collections.abc import Coroutine

from tulle.actors.holding.group import PortError
from tulle.actors.holding.holder import Holder
from tulle.bus.messages import PortMap
from tulle.deploy import logs, node, probe, settings
from tulle.deploy.app import App, environment, reserve_port
from tulle.deploy.errors import Failure
from tulle.deploy.home import Home
from tulle.deploy.lifecycle import (
    AppExited,
    Deregister,
    Deregistered,
    Drained,
    DrainInbound,
    Effect,
    EndApp,
    Event,
    GroupGone,
    Leave,
    Lifecycle,
    Probed,
    Say,
    SendSignal,
    SidecarReady,
    Signal,
    StartApp,
    SweepGroup,
)
from tulle.deploy.ports import PortArgument, with_app
from tulle.deploy.ports import environment as port_variables
from tulle.deploy.run_options import RunOptions
from tulle.deploy.settings import Settings
from tulle.deploy.terminal import WANTED, Terminal
from tulle.deploy.workload import Sockets, Workload, connected

ADDRESS = "127.0.0.1"
SIDECAR_SECONDS = 60.0
DRAIN_SECONDS = 12.0  # a sidecar's own deadline is 10
APP_SECONDS = 30.0  # for its end after SIGTERM, then SIGKILL
SWEEP_SECONDS = 10.0
PROBE_UNREADY_SECONDS = 0.1
PROBE_READY_SECONDS = 5.0
PROBES_UNTIL_WARNING = 100
FORWARDED = (
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGHUP,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGWINCH,
)

_LOG = logging.getLogger("tulle.run")


def run_app(of: Settings, options: RunOptions) -> int:
    """Runs the app until it has ended; its exit status. Raises `Failure` for what is our own."""
    logs.start(as_json=of.json_logs, level=logging.WARNING)
    return asyncio.run(_run(of, options))


async def _run(of: Settings, options: RunOptions) -> int:
    home = Home(of.mesh_folder)
    await node.here(home)  # before anything is asked: it may be the wrong machine
    with contextlib.ExitStack() as reserved:
        ports = [_reserve(reserved, port) for port in options.ports]
        async with connected(of) as connection:
            workload = Workload(connection, of.mesh, options, lambda: node.here(home))
            return await _Run(home, options, workload, ports, reserved).live()


def _reserve(reserved: contextlib.ExitStack, port: PortArgument) -> PortArgument:
    sock: socket.socket = reserved.enter_context(reserve_port(port.app))
    return with_app(port, sock.getsockname()[1])


class _Run:
    """One life. All of it belongs to one loop; events wait in one queue."""

    def __init__(
        self,
        home: Home,
        options: RunOptions,
        workload: Workload,
        ports: list[PortArgument],
        reserved: contextlib.ExitStack,
    ) -> None:
        self._options = options
        self._workload = workload
        self._ports = ports
        self._reserved = reserved  # the app's ports, until it starts
        self._life = Lifecycle(serves=bool(ports))
        self._events: asyncio.Queue[Event | Failure] = asyncio.Queue(1000)
        self._tasks: set[asyncio.Task[None]] = set()
        self._app: App | None = None
        self._terminal = Terminal()
        self._outbound = 0
        self._leaving = False
        self._holder_path = str(home.run / f"{secrets.token_hex(4)}.sock")
        self._holder = Holder(
            self._holder_path,
            lambda *_: (ADDRESS, 0),
            on_lost=self._sidecar_lost,
            expected=lambda: node.is_starting(home),
        )

    async def live(self) -> int:
        """All of it; the app's exit status."""
        loop = asyncio.get_running_loop()
        for number in FORWARDED:
            loop.add_signal_handler(number, self._events.put_nowait, Signal(number))
        loop.add_signal_handler(signal.SIGCHLD, self._app_changed)
        await self._holder.start()
        try:
            self._do(self._begin())
            return await self._until_left()
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await self._holder.close()

    async def _until_left(self) -> int:
        try:
            while True:
                event = await self._events.get()
                if isinstance(event, Failure):
                    raise event
                for effect in self._life.handle(event):
                    if isinstance(effect, Leave):
                        return effect.status
                    self._perform(effect)
        finally:
            self._leaving = True
            if self._app is not None:
                self._app.kill()  # nothing is left of it but after a failure
            self._terminal.take_back()
            await self._workload.gone()

    def _perform(self, effect: Effect) -> None:
        match effect:
            case StartApp():
                self._start_app()
            case Say(state):
                self._workload.say(state)
            case Deregister():
                self._do(self._then(self._workload.deregister(), Deregistered()))
            case DrainInbound():
                self._do(self._then(self._drain(), Drained()))
            case SendSignal(number):
                self._send(number)
            case EndApp(number):
                self._send(number)
                self._do(self._kill_late())
            case SweepGroup():
                assert self._app is not None  # it has exited
                self._do(self._then(self._app.sweep(SWEEP_SECONDS), GroupGone()))
            case Leave():
                raise AssertionError("the end of `_until_left`")

    async def _begin(self) -> None:
        """The sidecar, up to its `ready`."""
        try:
            await self._workload.start(self._open_sockets(), ADDRESS)
            self._do(self._workload.keep())
            await self._holder.wait_state(self._workload.id, "ready", SIDECAR_SECONDS)
        except PortError as error:
            raise Failure(str(error)) from error
        except TimeoutError as error:
            raise Failure(f"the sidecar did not come up: {error}; see `tulle status`") from error
        self._events.put_nowait(SidecarReady())

    def _open_sockets(self) -> Sockets:
        _, self._outbound = self._holder.reserve("outbound")
        ports = (
            PortMap(
                name=port.name,
                app=port.app,
                service=port.service,
                protocol=port.protocol,
                inbound=self._holder.reserve(f"inbound:{port.service}")[1],
            )
            for port in self._ports
        )
        return Sockets(self._holder_path, self._outbound, tuple(ports))

    def _start_app(self) -> None:
        user = f"{self._workload.id}:{self._workload.credential}"
        proxy = f"http://{user}@{ADDRESS}:{self._outbound}"
        env = environment(
            settings.inherited(), self._workload.id, proxy, port_variables(self._ports)
        )
        self._reserved.close()
        self._app = App(self._options.command, env)
        self._do(self._watch(self._app))
        self._do(self._probe())

    async def _watch(self, app: App) -> None:
        self._events.put_nowait(AppExited(await app.exited()))

    async def _probe(self) -> None:
        ports = [port.app for port in self._ports]
        failures = 0
        while True:
            healthy = await probe.healthy(ports, self._options.health)
            await self._events.put(Probed(healthy))
            failures = 0 if healthy else failures + 1
            if failures == PROBES_UNTIL_WARNING:
                asked = f" or {self._options.health} is no 2xx" if self._options.health else ""
                _LOG.warning("the app does not accept on 127.0.0.1, ports %s%s", ports, asked)
            await asyncio.sleep(PROBE_READY_SECONDS if healthy else PROBE_UNREADY_SECONDS)

    async def _drain(self) -> None:
        try:
            await self._holder.command(self._workload.id, "drain_inbound", DRAIN_SECONDS)
        except (ConnectionError, TimeoutError) as error:
            _LOG.warning("inbound not drained: %s", error)

    async def _kill_late(self) -> None:
        await asyncio.sleep(APP_SECONDS)
        _LOG.warning("the app did not end within %.0f s, it is killed", APP_SECONDS)
        self._send(signal.SIGKILL)

    async def _then(self, work: Coroutine[None, None, None], event: Event) -> None:
        await work
        self._events.put_nowait(event)

    def _send(self, number: int) -> None:
        if self._app is not None:
            self._app.send(number)

    def _app_changed(self) -> None:
        """It was stopped, maybe: it gets the terminal if it wants it, and goes on."""
        if self._app is None:
            return
        number = self._app.stopped_by()
        if number in WANTED and self._terminal.lend(self._app.pid):
            self._send(signal.SIGCONT)
        elif number == signal.SIGTSTP and self._terminal.lent:
            self._send(signal.SIGCONT)  # Ctrl-Z: no shell would know how to wake it

    def _sidecar_lost(self, proxy: str) -> None:
        if not self._leaving:
            _LOG.warning("sidecar %s is gone; Ray starts it again, connections wait", proxy)

    def _do(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if task.cancelled() or (error := task.exception()) is None:
            return
        failure = error if isinstance(error, Failure) else Failure(f"a mistake of ours: {error!r}")
        self._events.put_nowait(failure)
