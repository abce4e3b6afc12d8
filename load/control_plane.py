"""A nats-server and a policy evaluator alone, each a process, without Ray: for simulated proxies.

`python -m tulle.load.control_plane` is the evaluator: it reads its `ControlSpec` from stdin, and
ends when that does. The registry is written here, as no supervisor is there to do it.
"""

import asyncio
import json
import secrets
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import uvloop

from tulle.actors.control import ControlSpec
from tulle.actors.evaluator.actor import EvaluatorActor
from tulle.bus import codec, keys
from tulle.bus.connection import Connection, connect
from tulle.bus.jetstream import open_store
from tulle.bus.messages import ApplyRequest, PolicyFile, ServicePort, ServiceRecord
from tulle.bus.permissions import Role
from tulle.bus.server import NatsServer, serve
from tulle.bus.subjects import Bucket, Subjects
from tulle.deploy.api import Api, new_id, said_plainly
from tulle.deploy.errors import Failure
from tulle.deploy.settings import inherited
from tulle.load.followers import Job

WAIT_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class ControlPlane:
    """`api` is the operator's, `evaluator` a connection that reads what the evaluator may read."""

    server: NatsServer
    subjects: Subjects
    folder: Path
    api: Api
    evaluator: Connection

    def job(self, role: str, first: int, count: int, *, host: str = "", pool: str = "") -> Job:
        """Followers of this mesh."""
        return Job(
            mesh=self.subjects.mesh,
            nats_url=self.server.url,
            keys=self.folder / "nats",
            role=role,
            first=first,
            count=count,
            folder=self.folder / "proxies",
            host=host,
            pool=pool,
        )

    async def apply(self, text: str) -> None:
        """Applies policies; returns when all proxies have them. Raises `Failure`."""
        file = PolicyFile(name="load.yaml", text=text)
        request = ApplyRequest(id=new_id(), files=[file], wait_seconds=WAIT_SECONDS)
        subject = self.subjects.api_policy("apply")
        async for answer in self.api.follow(subject, request, WAIT_SECONDS + 5):
            if answer.done and not answer.ok:
                raise Failure(f"not applied: {[problem.message for problem in answer.problems]}")


@asynccontextmanager
async def control_plane(folder: Path, service: str, port: int) -> AsyncIterator[ControlPlane]:
    """A mesh with one service of namespace default. `folder` takes what it stores."""
    subjects = Subjects(f"load-{secrets.token_hex(4)}")
    async with serve(folder / "nats", folder / "creds", subjects) as server:
        with said_plainly():
            supervisor = await _connect(server, Role.SUPERVISOR)
        async with supervisor:
            for bucket in (Bucket.REGISTRY, Bucket.DESIRED, Bucket.CREDENTIALS):
                store = await open_store(supervisor, subjects, bucket)
                if bucket is Bucket.REGISTRY:
                    record = ServiceRecord(
                        namespace="default", name=service, ports=[ServicePort(number=port)]
                    )
                    await store.put_if(keys.service("default", service), codec.encode(record), 0)
        async with (
            _evaluator(server, subjects, folder),
            await _connect(server, Role.OPERATOR) as operator,
            await _connect(server, Role.EVALUATOR) as evaluator,
        ):
            yield ControlPlane(server, subjects, folder, Api(subjects.mesh, operator), evaluator)


async def _connect(server: NatsServer, role: Role) -> Connection:
    return await connect(server.url, server.credentials(role), name=f"load-{role.value}")


@asynccontextmanager
async def _evaluator(server: NatsServer, subjects: Subjects, folder: Path) -> AsyncIterator[None]:
    spec = ControlSpec(
        role="evaluator",
        id="1",
        mesh=subjects.mesh,
        nats_url=server.url,
        nats_credentials=str(folder / "creds" / f"{Role.EVALUATOR.value}.json"),
        home=str(folder),
    )
    with (folder / "evaluator.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "tulle.load.control_plane"),
            stdin=asyncio.subprocess.PIPE,
            stdout=log,
            stderr=log,
            env=inherited(),
        )
    try:
        assert process.stdin is not None
        process.stdin.write(json.dumps(asdict(spec)).encode() + b"\n")
        yield
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _evaluate() -> None:
    """The evaluator's process: until its stdin ends."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    actor = EvaluatorActor(ControlSpec(**json.loads(await reader.readline())))
    await reader.read()
    await actor.stop()


if __name__ == "__main__":
    uvloop.run(_evaluate())
