"""Sums that stay exact: NATS is killed, a collector dies, a proxy ends, all under traffic."""

import asyncio
import os
import signal
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import pytest
import pytest_asyncio
from prometheus_client.parser import text_string_to_metric_families

from tests.support.control import control_spec
from tests.support.policies_api import GATEWAY, service, virtual_service
from tests.support.small_mesh import SmallMesh, small_mesh
from tests.support.tiny_app import tiny_app
from tulle.actors.proxy.cells import DURATION, REQUEST_BYTES, REQUESTS, RESPONSE_BYTES
from tulle.actors.telemetry.actor import CollectorActor
from tulle.bus.messages import Workload

ROUTE = virtual_service("shop", "destination: {host: reviews}", gateway=True, host="*")
SETTLED_SECONDS = 20.0

pytestmark = pytest.mark.asyncio


class Watched:
    """A mesh with a gateway, two workloads of `reviews`, a collector, and traffic."""

    def __init__(self, mesh: SmallMesh, url: str, *workloads: Workload) -> None:
        self.mesh = mesh
        self.workloads = workloads
        self.url = url
        self.sent = 0
        self.failed: Counter[str] = Counter()
        self.collector = self._collector()

    def _collector(self) -> CollectorActor:
        return CollectorActor(control_spec(self.mesh.bus, self.mesh.home, "collector"))

    async def new_collector(self) -> None:
        """The collector dies, with nothing done for it; then there is another one."""
        await self.collector.stop()
        self.collector = self._collector()
        async with asyncio.timeout(15):
            await self.collector.health()

    async def kill_nats(self) -> None:
        """With -9; then it is started again, as the watcher does."""
        server = self.mesh.bus.server
        assert server.pid is not None
        os.kill(server.pid, signal.SIGKILL)
        await server.wait()
        await server.start()

    async def deregister_second(self) -> None:
        """`reviews` v2 is no endpoint any more."""
        await self.mesh.register(service("reviews", self.workloads[0]))
        await self.send(50)

    @property
    def draining_second(self) -> bool:
        """Its holder knows that it drains."""
        state, _ = self.mesh.holder.state(self.workloads[1].id) or ("", "")
        return state == "draining"

    async def end_second(self) -> None:
        """Its proxy drains and ends."""
        (proxy,) = [it for it in self.mesh.proxies if it.spec.id == self.workloads[1].id]
        await proxy.drain()
        await proxy.stop()

    async def send(self, count: int) -> None:
        """So many requests more have been answered."""
        wanted = self.sent + count
        async with asyncio.timeout(30):
            while self.sent < wanted:  # noqa: ASYNC110 - who counts has no event
                await asyncio.sleep(0.005)

    async def counted(self) -> dict[str, float]:
        """Requests of `reviews` by reporter, and by each histogram."""
        _, port = self.mesh.holder.addresses("tulle-collector-1")["http"]
        async with httpx2.AsyncClient(trust_env=False) as client:
            text = (await client.get(f"http://127.0.0.1:{port}/metrics")).text
        counts: dict[str, float] = defaultdict(float)
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.labels.get("destination_service_name") == "reviews":
                    counts[f"{sample.name} {sample.labels['reporter']}"] += sample.value
        return counts

    async def settle(self) -> None:
        """Returns when each figure is the number of requests that were sent. Exactly."""
        names = (REQUESTS, *(f"{n}_count" for n in (DURATION, REQUEST_BYTES, RESPONSE_BYTES)))
        expected = {
            f"{name} {reporter}": self.sent
            for name in names
            for reporter in ("source", "destination")
        }
        seen: dict[str, float] = {}
        try:
            async with asyncio.timeout(SETTLED_SECONDS):
                while not expected.items() <= seen.items():
                    seen = await self.counted()
                    await asyncio.sleep(0.05)
        except TimeoutError:
            pass
        assert {name: seen.get(name) for name in expected} == expected
        assert not self.failed

    @asynccontextmanager
    async def under_traffic(self) -> AsyncIterator[None]:
        stop = asyncio.Event()

        async def run() -> None:
            async with httpx2.AsyncClient(trust_env=False, timeout=10) as client:
                while not stop.is_set():
                    answer = await client.get(self.url)
                    self.sent += 1
                    if answer.status_code != 200:
                        self.failed[answer.text] += 1
                    await asyncio.sleep(0.002)

        running = asyncio.create_task(run())
        try:
            yield
        finally:
            stop.set()
            await running


@pytest_asyncio.fixture
async def watched() -> AsyncIterator[Watched]:
    async with small_mesh() as mesh, tiny_app("one") as one, tiny_app("two") as two:
        first = await mesh.sidecar("reviews", one, "v1")
        second = await mesh.sidecar("reviews", two, "v2")
        await mesh.register(service("reviews", first, second))
        url = await mesh.gateway()
        assert (await (await mesh.policies()).apply(GATEWAY + ROUTE, wait=5)).ok
        watched = Watched(mesh, url, first, second)
        await watched.collector.health()
        try:
            yield watched
        finally:
            await watched.collector.stop()


async def test_nats_is_killed(watched: Watched) -> None:
    async with watched.under_traffic():
        await watched.send(100)
        await watched.kill_nats()
        await watched.send(300)
        await watched.kill_nats()
        await watched.send(100)
    await watched.settle()


async def test_a_collector_dies(watched: Watched) -> None:
    async with watched.under_traffic():
        await watched.send(100)
        await watched.new_collector()
        await watched.send(100)
    await watched.settle()
    await watched.new_collector()
    await watched.settle()


async def test_a_proxy_that_is_gone_has_counted_all_the_same(watched: Watched) -> None:
    async with watched.under_traffic():
        await watched.send(100)
        await watched.deregister_second()
        await watched.end_second()
        await watched.send(50)
    await watched.settle()
    await watched.new_collector()
    await watched.settle()


async def test_a_proxy_ends_while_no_collector_is_there(watched: Watched) -> None:
    async with watched.under_traffic():
        await watched.send(100)
        await watched.deregister_second()
    await watched.collector.stop()
    ending = asyncio.create_task(watched.end_second())
    async with asyncio.timeout(5):
        while not watched.draining_second:  # noqa: ASYNC110 - a state of another
            await asyncio.sleep(0.01)
    await watched.new_collector()
    await ending
    await watched.settle()
    await watched.new_collector()
    await watched.settle()


async def test_all_of_it_at_once(watched: Watched) -> None:
    async with watched.under_traffic():
        await watched.send(100)
        await watched.deregister_second()
        ending = asyncio.create_task(watched.end_second())
        await watched.kill_nats()
        await ending
        await watched.send(50)
        await watched.new_collector()
        await watched.kill_nats()
        await watched.new_collector()
        await watched.send(50)
    await watched.settle()
