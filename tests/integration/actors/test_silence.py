"""NATS hangs, with all links open: nobody is taken for dead for what nobody could hear."""

import asyncio
import functools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.awaiting import until
from tests.support.control import control_spec
from tests.support.nats import BusUnderTest, frozen, serve_bus
from tests.support.policies_api import GATEWAY, PolicyClient
from tests.support.workloads import start_request
from tulle.actors import leadership
from tulle.actors.authority.disk import load_ticket_key
from tulle.actors.evaluator import proxies
from tulle.actors.evaluator.actor import EvaluatorActor
from tulle.actors.leadership import Timing
from tulle.actors.supervisor import leases
from tulle.actors.supervisor.actor import SupervisorActor
from tulle.actors.supervisor.launcher import MemoryLauncher
from tulle.bus import codec, keys
from tulle.bus.connection import Connection
from tulle.bus.errors import BusError, NobodyListens
from tulle.bus.events import parse_event
from tulle.bus.messages import Answer, Lease, ProxyStatus, ServiceRecord, StartAnswer
from tulle.bus.permissions import Role
from tulle.bus.store import epoch
from tulle.bus.subjects import Bucket
from tulle.bus.subscription import Message
from tulle.deploy.api import Api, passes

SILENT = 1.2
HANGING = 1.8


@asynccontextmanager
async def leasing(bus: BusUnderTest, runner: Connection, workload: str) -> AsyncIterator[None]:
    """As `tulle run` does, more often."""
    lease = codec.encode(Lease(workload=workload, state="ready"))

    async def lease_for_ever() -> None:
        while True:
            with suppress(BusError):
                await runner.publish(bus.subjects.lease("default", "reviews", workload), lease)
            await asyncio.sleep(0.1)

    task = asyncio.create_task(lease_for_ever())
    yield
    task.cancel()


@pytest.mark.asyncio
async def test_leases_that_could_not_be_heard_have_not_expired(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # So patient that the leader stays: a new term would forget who was silent.
    monkeypatch.setattr(leadership, "Timing", functools.partial(Timing, patience=20, refresh=0.2))
    monkeypatch.setattr(leadership, "AWAY_AFTER", 0.5)
    monkeypatch.setattr(leases, "EXPIRY_SECONDS", SILENT)
    states: list[str] = []
    async with serve_bus() as bus:
        await epoch(await bus.open_store(Bucket.POLICIES), "e1")
        await asyncio.to_thread(load_ticket_key, tmp_path / "authority")
        supervisor = SupervisorActor(control_spec(bus, tmp_path, "supervisor"), MemoryLauncher())
        await supervisor.health()
        await until(lambda: supervisor._term is not None)

        async def changed(message: Message) -> None:
            event = parse_event(bus.subjects, message)
            if event.key == keys.service("default", "reviews"):
                record = codec.decode(ServiceRecord, event.value)
                states.extend(workload.state for workload in record.workloads)

        listener = await bus.connect(Role.OPERATOR)
        await listener.subscribe(bus.subjects.event_all(Bucket.REGISTRY), changed)
        runner = await bus.connect(Role.RUNNER)
        subject = bus.subjects.api_workload("start", "default", "reviews")
        answer = await Api(bus.subjects.mesh, runner).ask(subject, start_request(), StartAnswer)
        async with leasing(bus, runner, answer.workload):
            await until(lambda: states[-1:] == ["ready"])
            with frozen(bus.server):
                await asyncio.sleep(HANGING)
                assert supervisor._term is not None
                assert supervisor._term.workloads._machine.wanted(answer.workload) == "ready"
            await asyncio.sleep(SILENT)
        assert "draining" not in states
        await until(lambda: states[-1] == "draining")  # now it is silent
        await supervisor.stop()


async def applied(client: PolicyClient) -> Answer:
    """The last answer, asked for again as clients do: a refresh of the leader that is stored only
    now may make it lead anew."""
    while True:
        with suppress(NobodyListens):
            answer = await client.apply(GATEWAY, wait=0.5, request="one")
            if not passes(answer):
                return answer


async def until_nobody_is_shown(client: PolicyClient) -> None:
    async with asyncio.timeout(5):
        while True:
            with suppress(NobodyListens):
                if not (await client.status()).proxies:
                    return
            await asyncio.sleep(0.02)


@pytest.mark.asyncio
async def test_a_wait_after_it_is_for_all_who_were_there_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leadership, "AWAY_AFTER", 0.5)
    monkeypatch.setattr(proxies, "GONE_AFTER", SILENT)
    async with serve_bus() as bus:
        await bus.open_store(Bucket.REGISTRY)
        spec = replace(control_spec(bus, tmp_path, "evaluator"), id="1")
        evaluator = EvaluatorActor(spec, Timing(patience=20, refresh=0.2, poll=0.1))
        await until(lambda: evaluator.leading)
        client = PolicyClient(await bus.connect(Role.OPERATOR), bus.subjects)
        revision = (await client.status()).revision
        assert revision is not None
        held = f"config/{keys.gateway('ingress')}"
        status = ProxyStatus(
            id="a", role="gateway", state="ready", epoch=revision.epoch, holds={held: 1}
        )
        proxy = await bus.connect_proxy("a")
        await proxy.publish(bus.subjects.status_proxy("a"), codec.encode(status))
        await proxy.flush()
        assert [it.id for it in (await client.status()).proxies] == ["a"]
        with frozen(bus.server):
            await asyncio.sleep(HANGING)
        answer = await applied(client)
        assert answer.pending == ["a"], "it has not said a word since"
        await until_nobody_is_shown(client)
        await evaluator.stop()
