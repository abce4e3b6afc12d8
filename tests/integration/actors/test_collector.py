"""The collector on a real NATS and holder: what proxies send is what Prometheus reads."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import httpx2
import pytest
import pytest_asyncio
from prometheus_client.parser import text_string_to_metric_families

from tests.support.control import control_spec
from tests.support.nats import BusUnderTest, serve_bus
from tulle.actors.holding.holder import Holder
from tulle.actors.proxy.cells import REQUESTS
from tulle.actors.telemetry.actor import CollectorActor
from tulle.actors.telemetry.shards import shard_of, share_of
from tulle.bus import codec, keys
from tulle.bus.connection import Connection
from tulle.bus.messages import PoolRecord, Series, TelemetryBatch
from tulle.bus.permissions import Role
from tulle.bus.store import Change
from tulle.bus.subjects import Bucket
from tulle.bus.subscription import Message


@dataclass
class Collecting:
    """A collector, where it serves, and a proxy's connection."""

    bus: BusUnderTest
    home: Path
    port: int
    actor: CollectorActor
    proxy: Connection

    async def get(self, path: str) -> httpx2.Response:
        async with httpx2.AsyncClient() as client:
            return await client.get(f"http://127.0.0.1:{self.port}{path}")

    async def requests(self) -> float:
        """The sum of `istio_requests_total`."""
        text = (await self.get("/metrics")).text
        return sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == REQUESTS
        )

    async def until_requests(self, expected: float) -> None:
        async with asyncio.timeout(5):
            while await self.requests() != expected:  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    async def send(self, value: float, started: float = 1.0, says: str = "p") -> None:
        series = Series(name=REQUESTS, labels={"response_code": "200"}, value=value)
        batch = TelemetryBatch(proxy=says, started=started, series=[series])
        await self.proxy.publish(
            self.bus.subjects.telemetry(shard_of("p"), "p"), codec.encode(batch)
        )


@pytest_asyncio.fixture
async def collecting() -> AsyncIterator[Collecting]:
    with tempfile.TemporaryDirectory(prefix="tl-", dir="/tmp") as name:
        async with serve_bus() as bus:
            holder = Holder(f"{name}/holder.sock", lambda proxy, pool, door: ("127.0.0.1", 0))
            await holder.start()
            await bus.open_store(Bucket.DESIRED)
            spec = control_spec(bus, Path(name), "collector")
            actor = CollectorActor(spec)
            await actor.health()
            _, port = holder.addresses(spec.name)["http"]
            collecting = Collecting(bus, Path(name), port, actor, await bus.connect_proxy("p"))
            yield collecting
            await collecting.actor.stop()
            await holder.close()


@pytest.mark.asyncio
async def test_metrics_are_what_proxies_sent(collecting: Collecting) -> None:
    await collecting.send(3)
    await collecting.until_requests(3)
    await collecting.send(2, started=2.0)
    await collecting.until_requests(5)
    response = await collecting.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert (await collecting.get("/healthz")).json() == {"ok": True}


@pytest.mark.asyncio
async def test_figures_in_the_name_of_another_do_not_count(collecting: Collecting) -> None:
    await collecting.send(100, says="q")
    await collecting.send(3)
    await collecting.until_requests(3)


@pytest.mark.asyncio
async def test_a_new_collector_asks_for_all(collecting: Collecting) -> None:
    bus = collecting.bus
    asked = asyncio.Event()

    async def hear(message: Message) -> None:
        asked.set()
        await collecting.send(7)

    await collecting.proxy.subscribe(bus.subjects.proxy_command("all", "telemetry"), hear)
    await collecting.actor.stop()
    collecting.actor = CollectorActor(control_spec(bus, collecting.home, "collector"))
    await collecting.actor.health()
    await asyncio.wait_for(asked.wait(), 5)
    await collecting.until_requests(7)


@pytest.mark.asyncio
async def test_health_says_when_the_bus_is_away(collecting: Collecting) -> None:
    await collecting.bus.server.stop()
    async with asyncio.timeout(10):
        while (await collecting.get("/healthz")).status_code != 503:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    await collecting.bus.server.start()
    async with asyncio.timeout(10):
        while (await collecting.get("/healthz")).status_code != 200:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


@pytest.mark.asyncio
async def test_what_nobody_can_say_again_goes_along_with_its_shard(collecting: Collecting) -> None:
    bus, here, there = collecting.bus, "collector-1", "collector-2"
    members = [here, there] if shard_of("p") in share_of(there, [here, there]) else [there, here]
    record = PoolRecord(name="collectors", kind="collector", replicas=2, members=members)
    desired = await bus.existing_store(Role.SUPERVISOR, Bucket.DESIRED)
    await collecting.send(7)  # and then it is killed
    await collecting.until_requests(7)
    await desired.put_if(keys.pool(record.name), codec.encode(record), 0)
    spec = replace(control_spec(bus, collecting.home, "collector"), id="2")
    second = CollectorActor(spec)
    await second.health()
    await collecting.until_requests(7)
    await second.retire()
    alone = record.model_copy(update={"replicas": 1, "members": [here]})
    await desired.put_all([Change(keys.pool(record.name), codec.encode(alone))])
    await collecting.until_requests(7)
