"""Proxies that nobody wants are ended, once those that come back had their time."""

from pathlib import Path

import pytest

from tests.support.workloads import start_request
from tulle.actors.control import ControlSpec
from tulle.actors.proxy.spec import ProxySpec
from tulle.actors.supervisor.context import Context
from tulle.actors.supervisor.launcher import LaunchFailed, MemoryLauncher
from tulle.actors.supervisor.ledger import Ledger
from tulle.actors.supervisor.orphans import Orphans
from tulle.actors.supervisor.specs import ProxySpecs
from tulle.actors.supervisor.users import Users
from tulle.bus import keys
from tulle.bus.issuer import Issuer
from tulle.bus.memory import MemoryStore
from tulle.bus.messages import DesiredWorkload, PoolRecord, ServiceRecord
from tulle.bus.subjects import Subjects


@pytest.fixture
def context(tmp_path: Path) -> Context:
    store = MemoryStore()
    control = ControlSpec("supervisor", "1", "test", "nats://x", "", str(tmp_path))
    issuer = Issuer.make(tmp_path)
    return Context(
        Ledger(store, ServiceRecord, "service", store.put_all),
        Ledger(store, DesiredWorkload, "workload", store.put_all),
        Ledger(store, PoolRecord, "pool", store.put_all),
        MemoryLauncher(),
        ProxySpecs(control, b"key"),
        Users(issuer, tmp_path, Subjects("test"), "nats://x"),
    )


async def want_workload(context: Context, id: str) -> ProxySpec:
    desired = DesiredWorkload(id=id, namespace="default", account="a", request=start_request())
    await context.workloads.change(keys.workload(id), lambda _: desired)
    return context.specs.sidecar(desired, "node-1", 0.0)


@pytest.mark.asyncio
async def test_who_is_wanted_stays_and_all_else_goes(context: Context) -> None:
    launcher, proxies = context.launcher, Path(context.specs.control.home) / "proxies"
    assert isinstance(launcher, MemoryLauncher)
    wanted = await want_workload(context, "reviews-v1-aaaaa")
    pool = PoolRecord(name="ingress", replicas=1, members=["ingress-aaaaa"])
    await context.pools.change(keys.pool("ingress"), lambda _: pool)
    await context.launch(wanted)
    for member in ("ingress-aaaaa", "ingress-zzzzz"):
        await context.launch(context.specs.gateway(pool, member, 0.0))
    (proxies / "gone-bbbbb").mkdir(parents=True)

    await Orphans(context, seconds=0.0).end()

    kept = {"reviews-v1-aaaaa", "ingress-aaaaa"}
    assert set(launcher.running) == kept == {path.name for path in proxies.iterdir()}
    assert launcher.drained == launcher.killed == ["ingress-zzzzz"]


@pytest.mark.asyncio
async def test_who_is_claimed_while_it_drains_stays(context: Context) -> None:
    launcher = context.launcher
    assert isinstance(launcher, MemoryLauncher)
    await context.launch(await want_workload(context, "reviews-v1-aaaaa"))
    await context.workloads.change(keys.workload("reviews-v1-aaaaa"), lambda _: None)
    drain = launcher.drain

    async def claimed(proxy: str, seconds: float) -> None:
        await drain(proxy, seconds)
        await want_workload(context, proxy)
        raise LaunchFailed(proxy, "it was not drained in time")

    launcher.drain = claimed  # type: ignore[method-assign]
    await Orphans(context, seconds=0.0).end()
    assert set(launcher.running) == {"reviews-v1-aaaaa"}
