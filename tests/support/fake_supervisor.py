"""A supervisor and sidecars in a test's own process, on a real NATS: what `tulle run` talks to."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from tulle.actors.holding.client import HolderClient
from tulle.bus import codec
from tulle.bus.connection import Connection, connect
from tulle.bus.messages import (
    UNKNOWN_WORKLOAD,
    Answer,
    Lease,
    ProblemRecord,
    StartAnswer,
    StartRequest,
    StopRequest,
)
from tulle.bus.permissions import Role
from tulle.bus.server import NatsServer, serve
from tulle.bus.subjects import Subjects
from tulle.bus.subscription import Message
from tulle.deploy import home, processes
from tulle.deploy.home import Home, MeshFile

SUBJECTS = Subjects("default")


@dataclass
class FakeSupervisor:
    """Gives every workload the id `w1`; `said` is all that happened, in order."""

    connection: Connection
    refusal: str = ""
    forgetful: bool = False  # the next lease is of an unknown workload
    said: list[str] = field(default_factory=list)
    started: StartRequest | None = None
    sidecar: HolderClient | None = None
    sockets: dict[str, socket.socket] = field(default_factory=dict)
    lost: asyncio.Event = field(default_factory=asyncio.Event)
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def serve(self) -> None:
        await self.connection.subscribe(SUBJECTS.api_workload_all, self._workload)
        await self.connection.subscribe(SUBJECTS.lease_all, self._lease)

    async def until(self, what: str) -> None:
        """Waits until `what` was said."""
        async with asyncio.timeout(10), self._changed:
            await self._changed.wait_for(lambda: what in self.said)

    async def _say(self, what: str) -> None:
        async with self._changed:
            self.said.append(what)
            self._changed.notify_all()

    async def _workload(self, message: Message) -> None:
        answer: Answer
        if ".start." in message.subject:
            answer = await self._start(codec.decode(StartRequest, message.data))
        else:
            stop = codec.decode(StopRequest, message.data)
            await self._say(stop.phase)
            answer = Answer(id=stop.id, ok=True)
        await self.connection.publish(message.reply, codec.encode(answer))

    async def _start(self, request: StartRequest) -> StartAnswer:
        if self.refusal:
            problem = ProblemRecord(code="conflict", severity="error", message=self.refusal)
            return StartAnswer(id=request.id, ok=False, problems=[problem])
        self.started = request
        await self._say("start")
        await self.play_sidecar()
        return StartAnswer(id=request.id, ok=True, workload="w1")

    async def play_sidecar(self) -> None:
        """A sidecar comes, in place of the one before."""
        request = self.started
        assert request is not None  # somebody ran
        self.end_sidecar()
        self.sidecar = await HolderClient.connect(
            request.holder, "w1", "", self._say, self.lost.set
        )
        for name in ("outbound", *(f"inbound:{port.service}" for port in request.ports)):
            self.sockets[name] = await self.sidecar.listen(name)
        self.sidecar.tell("ready")

    def end_sidecar(self) -> None:
        """The sidecar dies."""
        if self.sidecar is not None:
            self.sidecar.close()
        for sock in self.sockets.values():
            sock.close()

    async def _lease(self, message: Message) -> None:
        lease = codec.decode(Lease, message.data)
        if self.forgetful:
            self.forgetful = False
            unknown = ProblemRecord(code=UNKNOWN_WORKLOAD, severity="error", message="who?")
            answer = Answer(id=lease.workload, ok=False, problems=[unknown])
            await self.connection.publish(message.reply, codec.encode(answer))
            return
        if not self.said or self.said[-1] != lease.state:
            await self._say(lease.state)


@contextlib.asynccontextmanager
async def fake_mesh(root: Path) -> AsyncIterator[FakeSupervisor]:
    """`root` becomes a TULLE_HOME with a mesh `default` that seems to run."""
    layout = Home(root / "default")
    layout.make()
    async with serve(layout.nats, layout.creds, SUBJECTS) as server:
        _pretend(layout, server)
        who = server.credentials(Role.SUPERVISOR)
        async with await connect(who.url, who, name="fake-supervisor") as connection:
            supervisor = FakeSupervisor(connection)
            await supervisor.serve()
            try:
                yield supervisor
            finally:
                supervisor.end_sidecar()


def _pretend(layout: Home, server: NatsServer) -> None:
    home.write_bytes(layout.nodes / "n1.json", b"{}")
    home.write(
        layout.mesh_file,
        MeshFile(
            mesh="default",
            nats_url=server.url,
            creds=str(layout.creds),
            ingress="",
            http="",
            bind="127.0.0.1",
            up=processes.this_process(),
            processes={},
            nodes=["n1"],
        ),
    )
