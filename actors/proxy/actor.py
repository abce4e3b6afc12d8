"""A proxy as an actor: starts itself, follows the bus, opens its doors, drains, and ends.

A thin shell: `follower.py` keeps the config newest, `plane.py` serves traffic, `identity.py`,
`doors.py` and `telemetry.py` are its sides towards the authority, the holder and the collector.
Order of start: holder, what its last life had, bus, certificate, first keys, doors, `ready`. After
that NATS, evaluator and authority may be away: traffic goes on. At a restart they may be away, too:
what the last life had is served by when the bus does not tell more within `BUS_SECONDS`. Without
one of its vital tasks it would be there and do half of its work: it says so, and leaves its process
for Ray to start it again.
"""

import asyncio
import gc
import logging
import os
import time
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from ssl import SSLContext
from typing import Final, Literal

from tulle.actors import logs
from tulle.actors.proxy.doors import Doors
from tulle.actors.proxy.events import HostWanted, Ref, Reported, State
from tulle.actors.proxy.follower import Follower
from tulle.actors.proxy.identity import IdentityKeeper
from tulle.actors.proxy.last_good import LastGood
from tulle.actors.proxy.machine import ProxyMachine
from tulle.actors.proxy.plane import Plane
from tulle.actors.proxy.spec import ProxySpec
from tulle.actors.proxy.subscriptions import Subscriptions
from tulle.actors.proxy.telemetry import TelemetrySender
from tulle.actors.proxy.tls import Identity, server_context
from tulle.bus.connection import Connection, connect
from tulle.bus.credentials import Credentials
from tulle.bus.errors import ConnectFailed
from tulle.bus.subjects import Subjects
from tulle.bus.subscription import Interest
from tulle.policies.config import GatewayConfig

FOR_GOOD: Final = 0
TO_START_AGAIN: Final = 70
"""Exit statuses; the second is EX_SOFTWARE of sysexits.h."""
LAST_WORDS_SECONDS: Final = 2.0
"""From a failure to the end: time to say why, and a bound on how often Ray starts it again."""

BUS_SECONDS: Final = 1.0
"""For how long a proxy that could serve by its last good config waits for a newer one."""
DRAIN_SECONDS: Final = {"sidecar": 10.0, "gateway": 30.0}
RETRY_DOORS: Final = 5.0
DEFAULT_GATEWAY_PORT: Final = 80

log = logging.getLogger(__name__)


class ProxyActor:
    """Starts itself on the running loop.

    `exit(status)` ends the process: `FOR_GOOD`, or `TO_START_AGAIN`.
    """

    def __init__(
        self,
        spec: ProxySpec,
        exit: Callable[[int], None] | None = None,
        loses: Callable[[Ref], bool] = lambda ref: False,
    ) -> None:
        """`loses`: for tests, which changes on the bus are lost on their way here."""
        logs.start(spec.name, spec.log_folder, as_json=spec.json_logs)
        self.spec = spec
        self._exit = exit or leave_ray
        self._loses = loses
        self._loop = asyncio.get_running_loop()
        self._subjects = Subjects(spec.mesh)
        self._started = time.time()
        self._plane = Plane(spec, loop=self._loop, want_host=self._want_host)
        machine = ProxyMachine(spec, self._started)
        self._last_good = LastGood(Path(spec.folder))
        self._follower = Follower(machine, self._plane, self._last_good, self._on_gateway)
        self._doors = Doors(
            spec,
            self._plane,
            self._inbound_context,
            self._on_command,
            self._on_holder_lost,
            self._report,
        )
        self._state: State = "starting"
        self._failure = ""
        self._said: tuple[str, ...] = ()  # of the plane's problems
        self._context: SSLContext | None = None
        self._keeper = IdentityKeeper(spec, self._subjects, self._install_identity, self._report)
        self._connection: Connection | None = None
        self._telemetry: TelemetrySender | None = None
        self._ready = asyncio.Event()
        self._draining: asyncio.Task[None] | None = None
        self._wanted_doors = _first_doors(spec)
        self._tasks: set[asyncio.Task[None]] = set()
        self._life = self._run(self._live(), vital=True)

    async def health(self) -> None:
        """Returns once it serves. Raises what ended it."""
        ready = asyncio.create_task(self._ready.wait())
        await asyncio.wait([ready, self._life], return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        if self._life.done():
            self._life.result()

    async def drain(self) -> None:
        """Returns when no connection comes and none is left, or its time is over."""
        if self._draining is None:
            self._draining = self._run(self._drain())
        await asyncio.shield(self._draining)

    async def stop(self) -> None:
        """Ends everything at once, in this process; the holder keeps the sockets."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._doors.close()
        await self._plane.drain("all", 0)
        await self._follower.stop()
        if self._connection is not None:
            await self._connection.close()

    # The life.

    async def _live(self) -> None:
        if type(self._loop).__module__ != "uvloop":
            log.warning("the event loop is not uvloop: proxying costs more")
        await self._doors.connect()
        self._keeper.restore()
        restored = self._follower.restore(await asyncio.to_thread(self._last_good.load))
        self._run(self._join_bus(), vital=True)
        await self._until_it_can_serve(restored)
        await self._open_doors()
        self._become("ready")
        self._ready.set()
        tune_garbage_collection()
        await self._each_second()

    async def _until_it_can_serve(self, restored: bool) -> None:
        """A certificate, and all that is always held: from the bus, or in time from the disk."""
        try:
            async with asyncio.timeout(BUS_SECONDS if restored else None):
                await self._follower.has_first_keys.wait()
        except TimeoutError:
            log.warning("the bus says nothing: serving by the last good config")
        await self._keeper.installed.wait()

    async def _join_bus(self) -> None:
        """Follows the bus from its first connection on, whenever that comes."""
        self._connection = connection = await self._connect()
        self._telemetry = TelemetrySender(
            connection, self._subjects, self._plane.stats, self.spec.id, self._started
        )
        self._run(self._keeper.run(connection), vital=True)
        await self._follower.start(
            Subscriptions(
                connection, self._subjects, self.spec.id, self._follower.tell, self._loses
            )
        )
        await connection.attach(
            Interest(
                self._subjects.proxy_command("all", "telemetry"), lambda _: self._want_telemetry()
            )
        )
        connection.on_reconnect(self._want_telemetry)

    async def _connect(self) -> Connection:
        while True:
            try:
                credentials = Credentials.read(Path(self.spec.nats_credentials))
                return await connect(self.spec.nats_url, credentials, name=self.spec.id)
            except (ConnectFailed, OSError, ValueError) as error:
                log.warning("not connected yet: error=%s", error)
                await asyncio.sleep(1.0)

    async def _each_second(self) -> None:
        retry_at = self._loop.time() + RETRY_DOORS
        while True:
            await asyncio.sleep(1.0)
            await self._send_telemetry()
            self._plane.refresh_files()
            if self._plane.problems != self._said:
                self._report()
            if self._doors.problems and self._loop.time() >= retry_at:
                retry_at = self._loop.time() + RETRY_DOORS
                await self._open_doors()

    async def _drain(self) -> None:
        self._become("draining")
        await self._doors.retire()
        await self._drain_plane("all")
        if self._telemetry is not None:
            await self._telemetry.last_words()

    async def _drain_plane(self, which: Literal["inbound", "all"]) -> None:
        drained = await self._plane.drain(which, DRAIN_SECONDS[self.spec.role])
        log.info(
            "drained: which=%s finished=%d idle=%d cut=%d",
            which,
            drained.finished,
            drained.idle,
            drained.cut,
        )

    # The other sides.

    def _install_identity(self, identity: Identity) -> None:
        self._context = server_context(identity)
        self._plane.install_identity(identity)

    def _inbound_context(self) -> SSLContext:
        assert self._context is not None, "doors open after the certificate is there"
        return self._context

    def _want_host(self, host: str) -> None:
        self._follower.tell(HostWanted(host))

    def _on_gateway(self, config: GatewayConfig) -> None:
        if self._plane.problems != self._said:
            self._report()  # so that the ack of this config does not tell the problems of the last
        self._wanted_doors |= {f"gateway:{listener.port}" for listener in config.listeners}
        if self._ready.is_set() and not self._doors.are_open(self._wanted_doors):
            self._open_doors()

    def _open_doors(self) -> asyncio.Task[None]:
        # An ack says that the doors are open, or why not; opening them ends with a report.
        self._follower.hold_status(True)
        return self._run(self._open_all())

    async def _open_all(self) -> None:
        try:
            for name in sorted(self._wanted_doors, key=lambda name: name != "outbound"):
                await self._doors.open(name)
        finally:
            self._follower.hold_status(False)
        self._report()

    def _become(self, state: State) -> None:
        self._state = state
        self._report()

    def _report(self) -> None:
        """Tells state and problems to the holder and, by the machine's status, to the mesh."""
        problems = [self._failure] if self._failure else []
        problems += self._doors.problems.values()
        self._said = self._plane.problems
        problems += self._said
        if self._keeper.problem:
            problems.append(self._keeper.problem)
        self._doors.tell(self._state, "; ".join(problems))
        self._follower.tell(Reported(self._state, self._doors.listening, tuple(problems)))

    def _leave(self, status: int = FOR_GOOD) -> None:
        """Once: a holder that said stop may go before this process does."""
        leave, self._exit = self._exit, lambda _: None
        leave(status)

    async def _on_command(self, command: str) -> None:
        """The holder's: of a sidecar `tulle run`, whose app ends."""
        match command:
            case "drain_inbound":
                self._become("draining")
                await self._doors.turn_away("inbound")
                await self._drain_plane("inbound")
            case "stop":
                await self.drain()
                self._leave()
            case _:
                log.warning("unknown command of the holder: %s", command)

    def _on_holder_lost(self) -> None:
        self._run(self._without_holder(), vital=True)

    async def _without_holder(self) -> None:
        """A sidecar without its `tulle run` ends; a gateway serves on until a holder is back."""
        if self.spec.role == "sidecar":
            log.warning("the holder is gone: draining")
            await self.drain()
            self._leave()
            return
        await self._doors.connect()
        await self._doors.reopen()
        self._become(self._state)

    def _want_telemetry(self) -> None:
        if self._telemetry is not None:
            self._telemetry.want_all()
            self._run(self._send_telemetry())

    async def _send_telemetry(self) -> None:
        if self._telemetry is not None:
            await self._telemetry.send(self._loop.time())

    def _run(
        self, work: Coroutine[None, None, None] | Awaitable[None], *, vital: bool = False
    ) -> asyncio.Task[None]:
        task = asyncio.ensure_future(work)
        assert isinstance(task, asyncio.Task)
        self._tasks.add(task)
        task.add_done_callback(self._finished_vital if vital else self._finished)
        return task

    def _finished(self, task: asyncio.Task[None]) -> BaseException | None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            log.error("a task of the proxy failed", exc_info=error)
        return error

    def _finished_vital(self, task: asyncio.Task[None]) -> None:
        if (error := self._finished(task)) is not None:
            self._failure = f"failed, and is started again: {error!r}; see {logs.where()}"
            self._loop.call_later(LAST_WORDS_SECONDS, self._leave, TO_START_AGAIN)
            self._report()


def leave_ray(status: int) -> None:
    """Ends this actor and its process; Ray starts it again unless that was `FOR_GOOD`."""
    import ray

    if status != FOR_GOOD:
        logging.shutdown()
        os._exit(status)  # to Ray a crash; what Python offers instead, the actor would survive
    if ray.is_initialized():
        ray.kill(ray.get_runtime_context().current_actor, no_restart=True)


def _first_doors(spec: ProxySpec) -> set[str]:
    if spec.role == "gateway":
        return {f"gateway:{DEFAULT_GATEWAY_PORT}"}
    return {"outbound", *(f"inbound:{port.service}" for port in spec.ports)}


def tune_garbage_collection() -> None:
    """What is there by now stays: it is looked at no more.

    The rest is looked at in small portions: one of 50,000 objects kept the loop for up to 16 ms
    when many routes were installed, one of 2,000 keeps it for about 1 ms.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(2_000, 100, 50)
