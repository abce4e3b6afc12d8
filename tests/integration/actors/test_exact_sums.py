"""Sums that stay exact: NATS is killed, a collector dies or is one of several, a proxy ends."""

import asyncio
import os
import signal
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import httpx2
import pytest
import pytest_asyncio
from prometheus_client.parser import text_string_to_metric_families

from tests.support.control import control_spec
from tests.support.policies_api import GATEWAY, service, virtual_service
from tests.support.small_mesh import SmallMesh, small_mesh
from tests.support.tiny_app import tiny_app
from tulle.actors.proxy.cells import DURATION, REQUEST_BYTES, REQUESTS, RESPONSE_BYTES
from tulle.actors.telemetry import scraping
from tulle.actors.telemetry.actor import CollectorActor
from tulle.bus import codec, keys
from tulle.bus.messages import PoolRecord, Workload
from tulle.bus.store import Change

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
        self.further: list[CollectorActor] = []
        self.seen: list[float] = []

    def _collector(self, number: int = 1) -> CollectorActor:
        spec = control_spec(self.mesh.bus, self.mesh.home, "collector")
        return CollectorActor(replace(spec, id=str(number)))

    async def scale_collectors(self, count: int) -> None:
        """As the supervisor does: what is desired first, then actors come or go."""
        most = max(count, 1 + len(self.further))
        members = [f"collector-{number}" for number in range(1, most + 1)]
        record = PoolRecord(name="collectors", kind="collector", replicas=count, members=members)
        await self.mesh.desired.put_all([Change(keys.pool(record.name), codec.encode(record))])
        while len(self.further) < count - 1:
            self.further.append(self._collector(len(self.further) + 2))
            async with asyncio.timeout(10):
                await self.further[-1].health()
        while len(self.further) >= count:
            await self.further.pop().retire()

    async def look(self) -> None:
        """What is counted now is noted."""
        self.seen.append((await self.counted()).get(f"{REQUESTS} source", 0.0))

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
        answer = await self.scrape()
        assert answer.status_code == 200, answer.text
        counts: dict[str, float] = defaultdict(float)
        for family in text_string_to_metric_families(answer.text):
            for sample in family.samples:
                if sample.labels.get("destination_service_name") == "reviews":
                    counts[f"{sample.name} {sample.labels['reporter']}"] += sample.value
        return counts

    async def scrape(self) -> httpx2.Response:
        """What `/metrics` says."""
        _, port = self.mesh.holder.addresses("tulle-collector-1")["http"]
        async with httpx2.AsyncClient(trust_env=False, timeout=10) as client:
            return await client.get(f"http://127.0.0.1:{port}/metrics")

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
            for collector in (watched.collector, *watched.further):
                await collector.stop()


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


async def test_collectors_share_the_work_and_are_scaled(watched: Watched) -> None:
    async with watched.under_traffic():
        for count in (3, 1, 8, 2, 5, 1):
            await watched.send(60)
            await watched.look()
            await watched.scale_collectors(count)
            await watched.look()
    await watched.settle()
    assert watched.seen == sorted(watched.seen), "a counter that falls looks like a restart"


async def test_a_proxy_ends_while_collectors_are_scaled(watched: Watched) -> None:
    await watched.scale_collectors(3)
    async with watched.under_traffic():
        await watched.send(100)
        await watched.deregister_second()
        ending = asyncio.create_task(watched.end_second())
        await watched.scale_collectors(1)
        await watched.scale_collectors(4)
        await ending
        await watched.send(50)
        await watched.scale_collectors(2)
    await watched.settle()
    await watched.new_collector()
    await watched.settle()


async def test_one_of_several_collectors_dies(watched: Watched) -> None:
    await watched.scale_collectors(2)
    async with watched.under_traffic():
        await watched.send(100)
        await watched.further[0].stop()
        await watched.send(20)
        watched.further[0] = watched._collector(2)
        await watched.send(50)
        await watched.scale_collectors(1)
    await watched.settle()


async def test_without_a_part_of_the_figures_there_is_no_answer(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scraping.Gathering.text, "__defaults__", (0.5,))
    await watched.scale_collectors(2)
    async with watched.under_traffic():
        await watched.send(50)
    await watched.further.pop().stop()
    assert (await watched.scrape()).status_code == 503
    monkeypatch.undo()
    await watched.scale_collectors(1)
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
