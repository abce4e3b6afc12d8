"""A workload as the supervisor knows it: asked for, kept alive by leases, taken back.

Counterpart: actors.supervisor. Used by `run.py`.
"""

import asyncio
import contextlib
import hashlib
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from tulle.bus import codec
from tulle.bus.connection import Connection, connect
from tulle.bus.errors import BusError, Undecodable
from tulle.bus.messages import (
    UNKNOWN_NODE,
    UNKNOWN_WORKLOAD,
    Answer,
    Lease,
    PortMap,
    StartAnswer,
    StartRequest,
    StopRequest,
    WorkloadState,
)
from tulle.bus.subjects import Subjects
from tulle.bus.subscription import Interest, Message
from tulle.deploy import api
from tulle.deploy.errors import Failure, NotAllowed
from tulle.deploy.run_options import RunOptions
from tulle.deploy.settings import Settings

LEASE_SECONDS = 2.0
START_SECONDS = 30.0
DEREGISTER_SECONDS = 2.0  # the supervisor answers within 0.5
GONE_SECONDS = 5.0

_LOG = logging.getLogger("tulle.run")


@dataclass(frozen=True, slots=True)
class Sockets:
    """What the holder has opened: its path, the outbound port, and the ports."""

    holder: str
    outbound: int
    ports: tuple[PortMap, ...]


class _UnknownNode(Failure):
    """The mesh has none of the nodes that were found here."""


class Workload:
    """One workload; its `id` is known once it has started. `nodes`: which Ray nodes are here."""

    def __init__(
        self,
        connection: Connection,
        mesh: str,
        options: RunOptions,
        nodes: Callable[[], Awaitable[list[str]]],
    ) -> None:
        self.id = ""
        self.credential = secrets.token_hex(16)  # 128 bits
        self._connection = connection
        self._api = api.Api(mesh, connection)
        self._subjects = Subjects(mesh)
        self._options = options
        self._nodes = nodes
        self._state: WorkloadState = "starting"
        self._changed = asyncio.Event()
        self._inbox = Interest(connection.new_inbox(), self._answered)
        self._request: StartRequest | None = None
        self._unknown = False
        self._ends = False
        self._refusal = ""  # the last one of a workload that comes back

    async def start(self, sockets: Sockets, address: str) -> None:
        """Asks for a sidecar. Raises `Failure`, also when the mesh refuses."""
        nodes = await self._nodes()
        self._request = StartRequest(
            id=api.new_id(),
            service=self._options.service,
            version=self._options.version,
            labels=dict(self._options.labels),
            ports=list(sockets.ports),
            address=address,
            outbound=sockets.outbound,
            holder=sockets.holder,
            credential_sha256=hashlib.sha256(self.credential.encode()).hexdigest(),
            nodes=nodes,
        )
        try:
            await self._ask_for_sidecar(self._request)
        except _UnknownNode:
            # Ray may have been started again since, and its node has another id then.
            if (nodes := await self._nodes()) == self._request.nodes:
                raise
            again = {"id": api.new_id(), "nodes": nodes}
            self._request = self._request.model_copy(update=again)
            await self._ask_for_sidecar(self._request)

    async def _ask_for_sidecar(self, request: StartRequest) -> None:
        try:
            subject = self._subject("start")
            answer = await self._api.ask(subject, request, StartAnswer, START_SECONDS)
        except NotAllowed as error:
            raise Failure(
                f"{self._connection.user} may not start service account "
                f"{self._options.namespace}/{self._options.account}: use --service-account and "
                "--namespace that its credentials are for, or other credentials (--creds)"
            ) from error
        if not answer.ok or not answer.workload:
            why = "; ".join(problem.message for problem in answer.problems) or "it did not say why"
            kind = _UnknownNode if UNKNOWN_NODE in api.codes(answer) else Failure
            raise kind(f"the mesh refused the workload: {why}")
        self.id = answer.workload

    def say(self, state: WorkloadState) -> None:
        """The state from now on: told at once, and with each lease."""
        self._state = state
        self._changed.set()

    async def keep(self) -> None:
        """Sends leases until cancelled; a broken link is no reason to stop.

        A mesh that does not know this workload any more, since NATS lost it, or nobody heard it
        for long, gets it again, under its id: the app has that in its environment.
        """
        await self._connection.attach(self._inbox)
        while True:
            self._changed.clear()
            if self._unknown and not self._ends:
                await self._come_back()
            lease = Lease(workload=self.id, state=self._state)
            try:
                await self._connection.publish(
                    self._lease_subject(), codec.encode(lease), reply=self._inbox.subject
                )
            except BusError as error:
                _LOG.warning("no lease sent: %s", error)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LEASE_SECONDS):  # 3.11's wait_for can miss a cancel
                    await self._changed.wait()

    async def _come_back(self) -> None:
        assert self._request is not None  # it has an id
        self._unknown = False
        _LOG.warning("the mesh does not know workload %s: it is registered again", self.id)
        try:
            again = {"id": api.new_id(), "workload": self.id, "nodes": await self._nodes()}
            await self._ask_for_sidecar(self._request.model_copy(update=again))
            self._refusal = ""
        except Failure as error:
            if str(error) != self._refusal:
                _LOG.error("not registered, to be tried again: %s", error)
            self._refusal = str(error)

    def _answered(self, message: Message) -> None:
        """To a lease: the workload is not known. Without a supervisor NATS itself answers."""
        try:
            answer = codec.decode(Answer, message.data)
        except Undecodable:
            return
        if UNKNOWN_WORKLOAD in api.codes(answer) and not self._ends:
            self._unknown = True
            self._changed.set()

    async def deregister(self) -> None:
        """Returns when nobody picks this workload any more, or nobody says so in time."""
        self._ends = True
        await self._stop("deregister", DEREGISTER_SECONDS)

    async def gone(self) -> None:
        """The app has ended: its sidecar may."""
        self._ends = True
        await self._stop("gone", GONE_SECONDS)

    async def _stop(self, phase: str, seconds: float) -> None:
        if not self.id:
            return
        request = StopRequest.model_validate(
            {"id": api.new_id(), "workload": self.id, "phase": phase}
        )
        try:
            async with asyncio.timeout(seconds):
                answer = await self._api.ask(self._subject("stop"), request, Answer, seconds)
            if not answer.ok:
                _LOG.warning("%s refused: %s", phase, [p.message for p in answer.problems])
        except (Failure, TimeoutError) as error:
            # Its sidecar sees this process go, and takes the workload back by itself.
            _LOG.warning("%s not answered: %s", phase, error)

    def _lease_subject(self) -> str:
        return self._subjects.lease(self._options.namespace, self._options.account, self.id)

    def _subject(self, verb: str) -> str:
        return self._subjects.api_workload(verb, self._options.namespace, self._options.account)


@contextlib.asynccontextmanager
async def connected(settings: Settings) -> AsyncIterator[Connection]:
    """A connection as a runner. Raises `Failure`."""
    who = api.credentials(settings, "runner")
    with api.said_plainly():
        connection = await connect(
            who.url, who, name="tulle-run", first_timeout=api.CONNECT_SECONDS
        )
    async with connection:
        yield connection
