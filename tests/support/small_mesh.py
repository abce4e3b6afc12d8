"""A mesh in one process and event loop: real NATS, authority, evaluator, holder and proxies.

No Ray and no supervisor: the test registers services and starts proxies itself.
"""

import asyncio
import hashlib
import secrets
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from tests.support.control import control_spec
from tests.support.nats import BusUnderTest, serve_bus
from tests.support.policies_api import PolicyClient, service
from tests.support.workloads import start_request
from tulle.actors.authority.actor import AuthorityActor
from tulle.actors.authority.disk import load_ticket_key
from tulle.actors.authority.tickets import Ticket, make_ticket
from tulle.actors.evaluator.actor import EvaluatorActor
from tulle.actors.holding.holder import Holder
from tulle.actors.proxy.actor import ProxyActor
from tulle.actors.proxy.events import Ref
from tulle.actors.proxy.spec import PortSpec, ProxySpec
from tulle.actors.supervisor.users import Users
from tulle.bus import codec, keys
from tulle.bus.errors import NotConnected
from tulle.bus.jetstream import JetStreamStore
from tulle.bus.messages import DesiredWorkload, PoolRecord, ServiceRecord, Workload
from tulle.bus.permissions import Role
from tulle.bus.store import Change
from tulle.bus.subjects import Bucket

PASSWORD = "secret"
DIGEST = hashlib.sha256(PASSWORD.encode()).hexdigest()


class SmallMesh:
    """What `small_mesh` gives."""

    def __init__(
        self,
        home: Path,
        bus: BusUnderTest,
        registry: JetStreamStore,
        desired: JetStreamStore,
        leaf_ttl_seconds: float,
    ) -> None:
        self.home = home
        self.bus = bus
        self.registry = registry
        self.desired = desired
        self.ports: dict[str, int] = {}  # door -> port, else a free one
        self.holder = Holder(str(home / "holder.sock"), self._bind)
        self.authority = AuthorityActor(
            control_spec(bus, home, "authority", leaf_ttl_seconds=leaf_ttl_seconds)
        )
        self.evaluator = EvaluatorActor(control_spec(bus, home, "evaluator"))
        self.proxies: list[ProxyActor] = []
        self.gateways: list[str] = []  # ids
        self.exited: list[tuple[str, int]] = []  # proxy, status

    async def policies(self) -> PolicyClient:
        """The policy API."""
        return PolicyClient(await self.bus.connect(Role.OPERATOR), self.bus.subjects)

    async def register(self, *records: ServiceRecord) -> None:
        """Writes services into the registry, as the supervisor does, once NATS is there."""
        changes = [Change(keys.service(it.namespace, it.name), codec.encode(it)) for it in records]
        await self._put(self.registry, *changes)

    async def _put(self, store: JetStreamStore, *changes: Change) -> None:
        async with asyncio.timeout(10):
            while True:
                try:
                    await store.put_all(changes)
                    return
                except NotConnected:
                    await asyncio.sleep(0.05)

    async def start(
        self, spec: ProxySpec, loses: Callable[[Ref], bool] = lambda ref: False
    ) -> ProxyActor:
        """A proxy that serves."""
        await self._desire(spec)
        proxy = ProxyActor(
            spec, exit=lambda status: self.exited.append((spec.id, status)), loses=loses
        )
        self.proxies.append(proxy)
        async with asyncio.timeout(10):
            await proxy.health()
        return proxy

    async def _desire(self, spec: ProxySpec) -> None:
        """Writes that the proxy shall run, as the supervisor does before its spawn."""
        if spec.role == "gateway":
            self.gateways.append(spec.id)
            pool = PoolRecord(name=spec.pool, replicas=1, members=self.gateways)
            change = Change(keys.pool(spec.pool), codec.encode(pool))
        else:
            desired = DesiredWorkload(
                id=spec.id,
                namespace=spec.namespace,
                account=spec.account,
                request=start_request(service=spec.service),
            )
            change = Change(keys.workload(spec.id), codec.encode(desired))
        await self._put(self.desired, change)

    async def gateway(self, loses: Callable[[Ref], bool] = lambda ref: False) -> str:
        """A gateway of pool `ingress`; the URL of its port 80."""
        await self.start(self.gateway_spec(), loses)
        return self.url("ingress", "gateway:80")

    async def sidecar(self, name: str, app_port: int = 0, version: str = "v1") -> Workload:
        """A sidecar of service `name`, port 9080; its workload, to be registered."""
        spec = self.sidecar_spec(name, app_port, version)
        await self.start(spec)
        _, inbound = self.holder.addresses(spec.id).get("inbound:9080", ("", 0))
        return Workload(
            id=spec.id,
            version=version,
            labels={"version": version},
            account=name,
            state="ready",
            address="127.0.0.1",
            ports={9080: inbound} if inbound else {},
        )

    async def serve(self, name: str, app_port: int, version: str = "v1") -> Workload:
        """A registered service of one workload."""
        workload = await self.sidecar(name, app_port, version)
        await self.register(service(name, workload))
        return workload

    def _bind(self, proxy: str, pool: str, door: str) -> tuple[str, int]:
        return "127.0.0.1", self.ports.get(door, 0)

    def url(self, owner: str, door: str) -> str:
        """Where a door of a pool or a sidecar is."""
        address, port = self.holder.addresses(owner)[door]
        return f"http://{address}:{port}"

    def gateway_spec(self) -> ProxySpec:
        """A new member of pool `ingress`."""
        return self._spec("istio-system", "ingress", role="gateway", pool="ingress")

    def sidecar_spec(self, name: str, app_port: int, version: str = "v1") -> ProxySpec:
        """A new workload of service `name`; without an app's port it is a client only."""
        ports = (PortSpec(9080, app_port, "http"),) if app_port else ()
        return self._spec("default", name, version=version, ports=ports, credential_sha256=DIGEST)

    def _spec(self, namespace: str, account: str, **fields: object) -> ProxySpec:
        identity = f"{account}-{secrets.token_hex(3)}"
        key = load_ticket_key(self.home / "authority")
        ticket = Ticket(identity, namespace, account, time.time(), str(fields.get("pool", "")))
        values: dict[str, object] = {
            "id": identity,
            "mesh": self.bus.subjects.mesh,
            "role": "sidecar",
            "namespace": namespace,
            "account": account,
            "service": account,
            "nats_url": self.bus.server.url,
            "nats_credentials": str(self.home / "proxies" / identity / "nats.json"),
            "holder": str(self.home / "holder.sock"),
            "folder": str(self.home / "proxies" / identity),
            "ticket": make_ticket(key, ticket),
        }
        spec = ProxySpec(**(values | fields))  # type: ignore[arg-type]
        Users(self.bus.issuer, self.home, self.bus.subjects, self.bus.server.url).write(spec)
        return spec


@asynccontextmanager
async def small_mesh(leaf_ttl_seconds: float = 86_400.0) -> AsyncIterator[SmallMesh]:
    """A mesh without proxies, in a folder with a short path."""
    with tempfile.TemporaryDirectory(prefix="tl-", dir="/tmp") as name:
        async with serve_bus() as bus:
            registry = await bus.open_store(Bucket.REGISTRY)
            desired = await bus.open_store(Bucket.DESIRED)
            mesh = SmallMesh(Path(name), bus, registry, desired, leaf_ttl_seconds)
            await mesh.holder.start()
            try:
                async with asyncio.timeout(10):
                    await mesh.authority.health()
                    await mesh.evaluator.health()
                yield mesh
            finally:
                for proxy in mesh.proxies:
                    await proxy.stop()
                await mesh.evaluator.stop()
                await mesh.authority.stop()
                await mesh.holder.close()
