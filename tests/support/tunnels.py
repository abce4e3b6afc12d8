"""A client's sidecar and a database's, mTLS between them, and CONNECT through both."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from tests.support.certificates import MeshRoot
from tests.support.serving_plane import CREDENTIAL, Backend, Client, Handler, listening, spec
from tulle.actors.proxy.plane import Plane
from tulle.actors.proxy.spec import PortSpec
from tulle.actors.proxy.tls import server_context
from tulle.bus.messages import ServicePort, ServiceRecord, Workload
from tulle.policies import config as configs

PORT = 5432
HOST = "db.default.svc.cluster.local"
CONNECT = b"CONNECT db:5432 HTTP/1.1\r\nHost: db:5432\r\n" + CREDENTIAL + b"\r\n\r\n"


def outbound_config(limits: configs.ConnectionLimits | None = None) -> configs.OutboundConfig:
    """Of service db: 5432/tcp and 8080/http."""
    clusters = tuple(
        configs.Cluster(
            f"outbound|{port}||{HOST}",
            HOST,
            port,
            service="default/db",
            protocol=protocol,
            limits=limits,
        )
        for port, protocol in ((PORT, "tcp"), (8080, "http"))
    )
    ports = tuple(
        configs.PortRoutes(
            it.port,
            it.protocol,
            (configs.Route("default", (), (configs.Target(it.name, 1),)),),
        )
        for it in clusters
    )
    return configs.OutboundConfig(HOST, "default", ports, clusters)


def record(*ports: int, accounts: tuple[str, ...] = ("db",)) -> ServiceRecord:
    """The service, with workloads whose sidecars listen at `ports`."""
    workloads = [
        Workload(
            id=f"db-v{n}-aaaaa",
            version=f"v{n}",
            account=accounts[0],
            state="ready",
            address="127.0.0.1",
            ports={PORT: port},
        )
        for n, port in enumerate(ports, 1)
    ]
    return ServiceRecord(
        namespace="default",
        name="db",
        ports=[ServicePort(number=PORT, protocol="tcp"), ServicePort(number=8080)],
        accounts=list(accounts),
        workloads=workloads,
    )


@dataclass
class Pair:
    """`ours` is the client's plane, listening at `proxy`; `theirs` the database's, at `inbound`."""

    root: MeshRoot
    ours: Plane
    theirs: Plane
    proxy: int
    inbound: int
    wanted: list[str] = field(default_factory=list)

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        """A raw connection to the explicit proxy."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.proxy)
        try:
            yield Client(reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    @asynccontextmanager
    async def tunnel(self) -> AsyncIterator[Client]:
        """A client whose CONNECT was answered with 200."""
        async with self.client() as client:
            client.send(CONNECT)
            head = await client.head()
            assert head.startswith(b"HTTP/1.1 200 "), head
            yield client

    async def refusal(self, request: bytes = CONNECT) -> tuple[int, str]:
        """Status and reason of an answer that is no tunnel, after which the connection ends."""
        async with self.client() as client:
            client.send(request)
            status, head, _ = await client.answer()
            _, _, reason = head.partition(b"x-tulle-reason: ")
            if request.startswith(b"CONNECT"):
                assert await client.all() == b""
            return status, reason.partition(b"\r\n")[0].decode()

    def counted(self, plane: Plane, name: str) -> dict[str, float]:
        """Values of a TCP metric by response flag."""
        return {
            series.labels["response_flags"]: series.value
            for series in plane.stats.snapshot(False)
            if series.name == name and series.value
        }


@asynccontextmanager
async def pair(
    app: int,
    *,
    account: str = "db",
    limits: configs.ConnectionLimits | None = None,
    installed: bool = True,
) -> AsyncIterator[Pair]:
    """Both sidecars; the database's certificate is of `account`, its app listens at `app`."""
    root, wanted = MeshRoot(), list[str]()
    ours = _plane("client", (), wanted.append)
    theirs = _plane("db", (PortSpec(PORT, app, protocol="tcp"),), wanted.append)
    ours.install_identity(root.identity("client"))
    ours.install_hosts(
        configs.HostsConfig((configs.HostEntry(HOST, "default", HOST),)),
    )
    context = server_context(root.identity(account))
    async with (
        listening(lambda: theirs.inbound_protocol(PORT), context) as inbound,
        listening(ours.outbound_protocol) as proxy,
    ):
        ours.install_service(record(inbound))
        if installed:
            ours.install_outbound(outbound_config(limits))
        yield Pair(root, ours, theirs, proxy, inbound, wanted)
        await ours.drain("all", 0)
        await theirs.drain("all", 0)


@asynccontextmanager
async def served(handler: Handler, **options: object) -> AsyncIterator[Pair]:
    """A pair whose app treats each connection as `handler` says."""
    async with Backend(handler) as app, pair(app.port, **options) as both:  # type: ignore[arg-type]
        yield both


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Sends back what comes, as fast as it is taken, and ends when it ends."""
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()


def _plane(service: str, ports: tuple[PortSpec, ...], want: Callable[[str], None]) -> Plane:
    sidecar = replace(spec("sidecar", 0, service), ports=ports)
    return Plane(sidecar, loop=asyncio.get_running_loop(), want_host=want)
