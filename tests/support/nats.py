"""A nats-server with a mesh of a random name, and connections to it by role.

A server starts in 25 ms, so a test has one of its own unless it needs none of its isolation:

    @pytest_asyncio.fixture
    async def bus() -> AsyncIterator[BusUnderTest]:
        async with serve_bus() as bus:
            yield bus

With `@pytest_asyncio.fixture(scope="module", loop_scope="module")` a module shares one; its tests
then say `@pytest.mark.asyncio(loop_scope="module")`.
"""

import os
import secrets
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from tulle.bus.connection import Connection, connect
from tulle.bus.credentials import Credentials
from tulle.bus.issuer import Issuer
from tulle.bus.jetstream import JetStreamStore, existing_store, open_store
from tulle.bus.permissions import ProxyUser, Role, RunnerUser, rights
from tulle.bus.server import NatsServer, serve
from tulle.bus.subjects import Bucket, Subjects

WRITERS = {
    Bucket.POLICIES: Role.EVALUATOR,
    Bucket.CONFIG: Role.EVALUATOR,
    Bucket.REGISTRY: Role.SUPERVISOR,
    Bucket.DESIRED: Role.SUPERVISOR,
    Bucket.CREDENTIALS: Role.SUPERVISOR,
}
A_PROXY = ProxyUser("a", "default", "a")
A_GATEWAY = ProxyUser("ingress-a", "istio-system", "istio-ingressgateway", "ingress")


@dataclass(frozen=True, slots=True)
class BusUnderTest:
    """A running server; connections that it made are closed with it. `creds`: a file per role."""

    server: NatsServer
    subjects: Subjects
    creds: Path
    _opened: AsyncExitStack

    async def connect(self, role: Role, name: str = "") -> Connection:
        """A new connection of a role."""
        connection = await connect(
            self.server.url, self.server.credentials(role), name=name or role.value
        )
        return await self._opened.enter_async_context(connection)

    @property
    def issuer(self) -> Issuer:
        """Who makes the users of this server."""
        return Issuer.load(self.creds.parent / "nats")

    def user(self, user: Role | ProxyUser | RunnerUser) -> Credentials:
        """The credentials of a user, made now unless it is a role."""
        if isinstance(user, Role):
            return self.server.credentials(user)
        return self.issuer.credentials(self.server.url, user.name, rights(user, self.subjects))

    async def connect_as(self, user: Role | ProxyUser | RunnerUser, name: str = "") -> Connection:
        """A new connection of any user."""
        connection = await connect(self.server.url, self.user(user), name=name or "test")
        return await self._opened.enter_async_context(connection)

    async def connect_proxy(self, id: str = "a", **parts: str) -> Connection:
        """A new connection of a proxy, `A_PROXY` unless told otherwise."""
        return await self.connect_as(replace(A_PROXY, id=id, **parts), name=id)

    async def open_store(self, bucket: Bucket) -> JetStreamStore:
        """The bucket, made by the role that writes it, on a connection of its own."""
        return await open_store(await self.connect(WRITERS[bucket]), self.subjects, bucket)

    async def open_all(self) -> None:
        """Makes all buckets."""
        for bucket in Bucket:
            await self.open_store(bucket)

    async def existing_store(self, user: Role | ProxyUser, bucket: Bucket) -> JetStreamStore:
        """The bucket as a user sees it that does not make it, on a connection of its own."""
        return existing_store(await self.connect_as(user), self.subjects, bucket)


@asynccontextmanager
async def serve_bus() -> AsyncIterator[BusUnderTest]:
    """A nats-server, its folder below /tmp with a short path, and its connections."""
    subjects = Subjects(f"t{secrets.token_hex(4)}")
    with tempfile.TemporaryDirectory(prefix="tl-", dir="/tmp") as name:
        folder = Path(name)
        async with serve(folder / "nats", folder / "creds", subjects) as server:
            async with AsyncExitStack() as opened:
                yield BusUnderTest(server, subjects, folder / "creds", opened)


@contextmanager
def frozen(server: NatsServer) -> Iterator[None]:
    """The server hangs while the block runs: it keeps its sockets and does nothing."""
    pid = server.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        # The signal reaches its threads one after the other.
        while any(_state(task) != "T" for task in Path(f"/proc/{pid}/task").iterdir()):
            time.sleep(0.001)
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def _state(task: Path) -> str:
    return (task / "stat").read_text().rpartition(")")[2].split()[0]
