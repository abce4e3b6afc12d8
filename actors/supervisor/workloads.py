"""Workloads start, change state and go: the supervisor's shell around `machine.py`.

Order matters and is the same everywhere: the registry (fenced by leadership), then what is desired,
then the proxy. What a crash leaves half done, `recover` undoes.
"""

import asyncio
import logging
from typing import Final

from tulle.actors.supervisor.admission import Refused, problem, request_problems
from tulle.actors.supervisor.context import Context
from tulle.actors.supervisor.launcher import LaunchFailed
from tulle.actors.supervisor.machine import (
    CheckGone,
    Effect,
    Event,
    Forget,
    Leaves,
    ServiceName,
    Stored,
    SupervisorMachine,
    Turn,
    TurnFailed,
)
from tulle.actors.supervisor.records import Change, joining, leaving, turning, workload_id
from tulle.bus import keys
from tulle.bus.errors import BusError
from tulle.bus.messages import (
    UNKNOWN_NODE,
    UNKNOWN_WORKLOAD,
    Answer,
    DesiredWorkload,
    ServiceRecord,
    StartAnswer,
    StartRequest,
    StopRequest,
)

DEREGISTER_SECONDS: Final = 0.5
LAUNCH_AGAIN_SECONDS: Final = 5.0

_LOG = logging.getLogger(__name__)


def unknown_workload(workload: str) -> Answer:
    """The answer to a lease of a workload that is not known: it may start again, with its id."""
    message = f"workload {workload} is not known, the store of this mesh may be another one"
    return Answer(id=workload, ok=False, problems=[problem(UNKNOWN_WORKLOAD, "", message)])


class Workloads:
    """All workloads of the mesh, for one term of leadership."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._machine = SupervisorMachine(context.clock())
        self._in_hand: set[str] = set()  # being started or checked: not to be checked now

    async def recover(self) -> None:
        """Takes over what the ledgers say: undoes half-done starts, starts proxies that lack."""
        services = self._context.services.all()
        for service in services:
            self.feed(Stored(service))
        recorded = {workload.id for service in services for workload in service.workloads}
        desired = {workload.id: workload for workload in self._context.workloads.all()}
        for half_done in sorted(desired.keys() ^ recorded):
            await self.forget(half_done)
        for id in sorted(desired.keys() & recorded):
            self._context.background.run(self._launch_at_last(desired[id]))

    def owner(self, workload: str) -> tuple[str, str] | None:
        """Namespace and service account of a workload; None: it is not known."""
        desired = self._context.workloads.get(keys.workload(workload))
        return (desired.namespace, desired.account) if desired is not None else None

    def feed(self, event: Event) -> None:
        """Tells the machine; its effects are performed in the background."""
        for effect in self._machine.handle(event, self._context.clock()):
            self._context.background.run(self._perform(effect))

    async def start(self, namespace: str, account: str, request: StartRequest) -> StartAnswer:
        """api.workload.start. A retry of a request that was carried out gets its answer again."""
        for desired in self._context.workloads.all():
            if desired.request.id == request.id:
                return StartAnswer(id=request.id, ok=True, workload=desired.id)
        try:
            if problems := request_problems(namespace, account, request):
                raise Refused(problems)
            if self._is_there(namespace, account, request):
                return StartAnswer(id=request.id, ok=True, workload=request.workload)
            node = await self._node(request)
            desired = self._desired(namespace, account, request)
            await self._start(desired, node)
        except Refused as refused:
            return StartAnswer(id=request.id, ok=False, problems=refused.problems)
        return StartAnswer(id=request.id, ok=True, workload=desired.id)

    async def stop(self, namespace: str, account: str, request: StopRequest) -> Answer:
        """api.workload.stop; a workload that is not known has stopped already."""
        workload, owner = request.workload, self.owner(request.workload)
        if owner is None:
            return Answer(id=request.id, ok=True)
        if owner != (namespace, account):
            message = f"workload {workload} is of {'/'.join(owner)}, not of {namespace}/{account}"
            found = problem("not-yours", "workload", message)
            return Answer(id=request.id, ok=False, problems=[found])
        if request.phase == "gone":
            await self.forget(workload)
            return Answer(id=request.id, ok=True)
        return Answer(id=request.id, ok=True, pending=await self._deregister(workload))

    async def forget(self, id: str) -> None:
        """The workload leaves the registry and what is desired; its proxy and folder go."""
        if (service := self._machine.service_of(id)) is not None:
            await self._write(service, leaving(id))
        await self._context.workloads.change(keys.workload(id), lambda _: None)
        try:
            await self._context.launcher.kill(id)
        except LaunchFailed as error:
            _LOG.warning("not ended: %s", error)
        await self._context.clear_away(id)

    async def _start(self, desired: DesiredWorkload, node: str) -> None:
        request = desired.request
        join = joining(desired.namespace, desired.account, request, desired.id, node)
        self._in_hand.add(desired.id)
        try:
            await self._write((desired.namespace, request.service), join)
            await self._context.workloads.change(keys.workload(desired.id), lambda _: desired)
            await self._launch(desired, node)
        except LaunchFailed as error:
            await self.forget(desired.id)
            raise Refused([problem("not-started", "", f"no sidecar: {error}")]) from error
        finally:
            self._in_hand.discard(desired.id)

    async def _deregister(self, id: str) -> list[str]:
        """The workload is no endpoint any more. Returns the proxies that don't know yet."""
        service = self._machine.service_of(id)
        if service is None:
            return []
        # What the machine wants from here on is written at once, and waited for.
        self._machine.handle(Leaves(id), self._context.clock())
        revision = await self._turn(service, id)
        proxies, key = self._context.reports.proxies, keys.service(*service)
        known = self._context.reports.until(
            lambda: not proxies.lacking(key, revision), DEREGISTER_SECONDS
        )
        return [] if await known else proxies.lacking(key, revision)

    async def _perform(self, effect: Effect) -> None:
        match effect:
            case Turn(service, workload):
                await self._turn_quietly(service, workload)
            case CheckGone(workload):
                await self._forget_quietly(workload, if_exists=False)
            case Forget(workload):
                await self._forget_quietly(workload, if_exists=True)

    async def _turn(self, service: ServiceName, id: str) -> int:
        """Writes the state that is wanted when the write has its turn, not before."""

        def turn(record: ServiceRecord | None) -> ServiceRecord | None:
            wanted = self._machine.wanted(id)
            return turning(id, wanted)(record) if wanted is not None else record

        try:
            return await self._write(service, turn)
        except BusError:
            self._machine.handle(TurnFailed(id), self._context.clock())
            raise

    async def _turn_quietly(self, service: ServiceName, id: str) -> None:
        try:
            await self._turn(service, id)
        except BusError as error:
            _LOG.warning("state not written, to be tried again: workload=%s error=%s", id, error)

    async def _forget_quietly(self, id: str, *, if_exists: bool) -> None:
        """Forgets the workload when its proxy has ended, and `if_exists` in any case."""
        if id in self._in_hand:
            return
        self._in_hand.add(id)
        try:
            if if_exists or not await self._context.launcher.exists(id):
                _LOG.info("nobody speaks for it any more: workload=%s", id)
                await self.forget(id)
        except (LaunchFailed, BusError) as error:
            _LOG.warning("not forgotten, to be tried again: workload=%s error=%s", id, error)
        finally:
            self._in_hand.discard(id)

    async def _write(self, service: ServiceName, change: Change) -> int:
        record, revision = await self._context.services.change(keys.service(*service), change)
        if record is not None:
            self.feed(Stored(record))
        return revision

    async def _launch(self, desired: DesiredWorkload, node: str) -> None:
        now = self._context.unix_time()
        await self._context.launch(self._context.specs.sidecar(desired, node, now))

    async def _launch_at_last(self, desired: DesiredWorkload) -> None:
        """Starts a sidecar again, trying until it does or the workload is no more."""
        while self._context.workloads.get(keys.workload(desired.id)) is not None:
            try:
                return await self._launch(desired, await self._node_again(desired.request))
            except LaunchFailed as error:
                _LOG.warning("not started, to be tried again: %s", error)
            await asyncio.sleep(LAUNCH_AGAIN_SECONDS)

    async def _node(self, request: StartRequest) -> str:
        """The node of a new workload. Raises `Refused`."""
        try:
            alive = await self._context.launcher.nodes()
        except LaunchFailed as error:
            raise Refused([problem("not-started", "nodes", str(error))]) from error
        for node in request.nodes:
            if node in alive:
                return node
        wanted = ", ".join(request.nodes) or "none"
        message = (
            f"no node of this mesh is on the workload's machine (found there: {wanted}; in the "
            f"mesh: {', '.join(alive) or 'none'}): run it where `tulle up` runs"
        )
        raise Refused([problem(UNKNOWN_NODE, "nodes", message)])

    async def _node_again(self, request: StartRequest) -> str:
        """As `_node`; when Ray was started anew on the only machine, its node has a new id."""
        alive = await self._context.launcher.nodes()
        known = [node for node in request.nodes if node in alive]
        return (known or alive)[0] if known or len(alive) == 1 else ""

    def _is_there(self, namespace: str, account: str, request: StartRequest) -> bool:
        """Whether the workload that comes back is known after all. Raises `Refused`."""
        id = request.workload
        if not id:
            return False
        if (known := self._context.workloads.get(keys.workload(id))) is not None:
            theirs = (known.namespace, known.account, known.request.credential_sha256)
            if theirs == (namespace, account, request.credential_sha256):
                return True
        if known is not None or id in self._in_hand or self._machine.service_of(id) is not None:
            message = f"workload {id} is another one, or is being forgotten: start this one again"
            raise Refused([problem("workload-taken", "workload", message)])
        return False

    def _desired(self, namespace: str, account: str, request: StartRequest) -> DesiredWorkload:
        id = request.workload or workload_id(request, self._context.suffix())
        while self._machine.service_of(id) is not None:
            id = workload_id(request, self._context.suffix())
        return DesiredWorkload(id=id, namespace=namespace, account=account, request=request)
