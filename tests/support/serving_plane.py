"""A proxy's plane on real sockets, with scripted servers behind and raw clients before it."""

import asyncio
import base64
import contextlib
import hashlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

from tulle.actors.proxy.plane import Plane
from tulle.actors.proxy.spec import PortSpec, ProxySpec
from tulle.bus.messages import ServicePort, ServiceRecord, Workload
from tulle.policies import config as configs

PASSWORD = b"let-me-in"
CREDENTIAL = b"Proxy-Authorization: Basic " + base64.b64encode(b"tulle:" + PASSWORD)

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def spec(role: str = "gateway", app: int = 0, service: str = "ingress") -> ProxySpec:
    """The spec of a gateway, or of a sidecar whose service port 9080 is the app's `app`."""
    base = ProxySpec(
        id=f"{service}-v1-abcde",
        mesh="test",
        role="gateway",
        namespace="default",
        account=service,
        service=service,
        version="v1",
        nats_url="",
        nats_credentials="",
        holder="",
        folder="",
        ticket="",
        pool="ingress",
    )
    if role == "gateway":
        return base
    return replace(
        base,
        role="sidecar",
        pool="",
        ports=(PortSpec(9080, app),) if app else (),
        credential_sha256=hashlib.sha256(PASSWORD).hexdigest(),
    )


def plane_of(proxy: ProxySpec, want_host: Callable[[str], None] = lambda host: None) -> Plane:
    """Its plane on the running loop; a plain connection is a peer with account `client`."""
    return Plane(
        proxy,
        loop=asyncio.get_running_loop(),
        want_host=want_host,
        identify=lambda transport: "spiffe://cluster.local/ns/default/sa/client",
    )


def static_cluster(*ports: int, host: str = "up.local", balancer: configs.Balancer = "RANDOM",
                   name: str = "") -> configs.Cluster:  # fmt: skip
    """A cluster with endpoints at loopback ports."""
    return configs.Cluster(
        name=name or f"outbound|80||{host}",
        host=host,
        port=80,
        balancer=balancer,
        endpoints=tuple(configs.StaticEndpoint("127.0.0.1", port) for port in ports),
        tls="DISABLE",
    )


def gateway_config(
    cluster: configs.Cluster, timeout_ms: int | None = None, domain: str = "*"
) -> configs.GatewayConfig:
    """Port 80 routes everything for `domain` to `cluster`."""
    route = configs.Route("all", (), (configs.Target(cluster.name, 1),), timeout_ms)
    listener = configs.GatewayListener(80, "HTTP", (configs.VirtualHost((domain,), (route,)),))
    return configs.GatewayConfig("ingress", (listener,), (cluster,))


def service_cluster(
    service: str = "reviews", port: int = 9080, subset: str = ""
) -> configs.Cluster:
    """A cluster of a service of the mesh in namespace `default`."""
    host = f"{service}.default.svc.cluster.local"
    return configs.Cluster(
        name=f"outbound|{port}|{subset}|{host}",
        host=host,
        port=port,
        subset=subset,
        service=f"default/{service}",
        labels=(("version", subset),) if subset else (),
    )


def outbound_config(cluster: configs.Cluster) -> configs.OutboundConfig:
    """One port, everything to `cluster`."""
    route = configs.Route("all", (), (configs.Target(cluster.name, 1),))
    ports = (configs.PortRoutes(cluster.port, "http", (route,)),)
    return configs.OutboundConfig(cluster.host, "default", ports, (cluster,))


def hosts_config(*services: str) -> configs.HostsConfig:
    """The index of services in namespace `default`."""
    hosts = [f"{service}.default.svc.cluster.local" for service in services]
    return configs.HostsConfig(
        tuple(configs.HostEntry(host, "default", host) for host in sorted(hosts))
    )


def service_record(
    *ports: int, service: str = "reviews", accounts: tuple[str, ...] = ("reviews",)
) -> ServiceRecord:
    """A service whose ready workloads of version v1, v2, ... listen at loopback `ports`."""
    return ServiceRecord(
        namespace="default",
        name=service,
        ports=[ServicePort(number=9080)],
        accounts=list(accounts),
        workloads=[
            Workload(
                id=f"{service}-v{n}-aaaaa",
                version=f"v{n}",
                account=accounts[0],
                state="ready",
                address="127.0.0.1",
                ports={9080: port},
            )
            for n, port in enumerate(ports, 1)
        ],
    )


@asynccontextmanager
async def listening(
    factory: Callable[[], asyncio.BaseProtocol], context: ssl.SSLContext | None = None
) -> AsyncIterator[int]:
    """The port of a server of these protocols, on loopback."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(factory, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


class Backend:
    """A server that treats each connection as its handler says; counts connections."""

    def __init__(self, handler: Handler, context: ssl.SSLContext | None = None) -> None:
        self._handler = handler
        self._context = context
        self._tasks: set[asyncio.Task[None]] = set()
        self.connections = 0
        self.port = 0

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._handler(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def __aenter__(self) -> "Backend":
        self._server = await asyncio.start_server(
            self._serve, "127.0.0.1", self.port, ssl=self._context
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def read_head(reader: asyncio.StreamReader) -> bytes:
    """One head, with its empty line."""
    return await reader.readuntil(b"\r\n\r\n")


def answering(response: bytes, seen: list[bytes] | None = None) -> Handler:
    """Answers each head that comes, without regard to bodies; writes the heads down."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await read_head(reader)
            if seen is not None:
                seen.append(head)
            writer.write(response)

    return handler


class Client:
    """A raw connection to a proxy."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def head(self) -> bytes:
        async with asyncio.timeout(10):
            return await read_head(self.reader)

    async def exactly(self, count: int) -> bytes:
        async with asyncio.timeout(10):
            return await self.reader.readexactly(count)

    async def all(self) -> bytes:
        """Everything until the end; raises ConnectionResetError when it is no clean one."""
        async with asyncio.timeout(10):
            return await self.reader.read()

    async def answer(self) -> tuple[int, bytes, bytes]:
        """Status, head and body of a response with a Content-Length."""
        head = await self.head()
        length = 0
        for line in head.split(b"\r\n"):
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        return int(head[9:12]), head, await self.exactly(length)


@asynccontextmanager
async def connected(port: int, context: ssl.SSLContext | None = None) -> AsyncIterator[Client]:
    """A client of `port`."""
    if context is None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    else:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=context, server_hostname=""
        )
    try:
        yield Client(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            await writer.wait_closed()


@asynccontextmanager
async def gateway(
    *ports: int, timeout_ms: int | None = None, balancer: configs.Balancer = "RANDOM"
) -> AsyncIterator[tuple[Plane, int]]:
    """A gateway's plane that forwards everything to loopback `ports`, and its own port."""
    plane = plane_of(spec())
    plane.install_gateway(gateway_config(static_cluster(*ports, balancer=balancer), timeout_ms))
    async with listening(lambda: plane.gateway_protocol(80)) as port:
        yield plane, port
        await plane.drain("all", 0)
