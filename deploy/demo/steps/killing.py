"""Step 7: kill -9 of a sidecar and of a gateway; both come back, and nobody is refused.

What was in flight in the sidecar is sent again by its callers' proxies. What was in flight in the
gateway is lost, unless its visitor may send it again: it counts as lost and not as failed.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tulle.actors.proxy.spec import actor_name
from tulle.deploy.demo import actors, metrics
from tulle.deploy.demo.children import CommandFailed
from tulle.deploy.demo.pages import Page
from tulle.deploy.demo.stage import Stage, why
from tulle.deploy.demo.steps.scaling import gateways

SERVICE = "reviews"
VERSION = "v2"  # which asks ratings as well: both sides of its sidecar are in use
GATEWAYS = 2
BACK_SECONDS = 3.0
COUNTED_SECONDS = 1.0  # figures leave a proxy each second
LATEST_SECONDS = 10.0  # machines differ: only later than this the check has failed
_POLL_SECONDS = 0.05
_CUT_OFF = ("ConnectionLost", "ConnectionResetError", "BrokenPipeError")


async def run(stage: Stage) -> None:
    """All checks of step 7."""
    began = stage.traffic.now()
    await stage.store.apply_policy("reviews-all.yaml")
    await _sidecar(stage)
    await stage.store.scale(GATEWAYS)
    await _gateway(stage)
    await stage.store.scale(1)
    await stage.none_failed(began)


@dataclass(frozen=True, slots=True)
class _Death:
    """Times of the traffic's clock: of the signal, and when no socket of the proxy was left."""

    killed: float
    gone: float


async def _sidecar(stage: Stage) -> None:
    expected = f"no page fails, back in {BACK_SECONDS:.0f} s"
    with stage.check(f"kill -9 of a {SERVICE} sidecar", expected) as outcome:
        workload = await _workload(stage)
        death = await _kill(stage, workload)

        async def serves() -> bool:
            part = (VERSION, workload)
            return any(page.parts.get(SERVICE) == part for page in stage.traffic.since(death.gone))

        seconds = await _back(stage, death, serves)
        pages = await _under_way(stage, death)
        failed = [page for page in pages if page.failed]
        seen = f"{len(pages)} pages, {len(failed)} failed{why(failed)}; back in {seconds:.1f} s"
        outcome.saw(seen, bool(pages) and not failed)


async def _gateway(stage: Stage) -> None:
    seconds = BACK_SECONDS + COUNTED_SECONDS
    expected = f"only what is in flight in it is lost, it counts again in {seconds:.0f} s"
    with stage.check(f"kill -9 of one of {GATEWAYS} gateways", expected) as outcome:
        members = [proxy.id for proxy in await gateways(stage)]
        counts = await _counts(stage, members)
        busiest = max(members, key=lambda member: counts[member])
        death = await _kill(stage, busiest)
        counted = (await _counts(stage, members))[busiest]

        async def serves() -> bool:
            # Its next life counts from zero.
            return 0 < (await _counts(stage, members))[busiest] != counted

        seconds = await _back(stage, death, serves)
        pages = await _under_way(stage, death)
        lost = [page for page in pages if _went_with(page, death)]
        stage.traffic.give_up(lost)
        failed = [page for page in pages if page.failed and page not in lost]
        seen = (
            f"{len(pages)} pages, {len(lost)} lost with it, {len(failed)} failed{why(failed)}; "
            f"counts again in {seconds:.1f} s"
        )
        outcome.saw(seen, len(members) == GATEWAYS and bool(pages) and not failed)


async def _workload(stage: Stage) -> str:
    """The id of a workload of the service, which is its sidecar's too."""
    for service in (await stage.store.services()).services:
        for workload in service.workloads:
            if (service.name, workload.version) == (SERVICE, VERSION):
                return workload.id
    raise CommandFailed(f"no workload of {SERVICE} has version {VERSION}")


async def _kill(stage: Stage, proxy: str) -> _Death:
    killed = stage.traffic.now()
    await asyncio.to_thread(actors.kill, stage.store.layout, actor_name(proxy))
    return _Death(killed, stage.traffic.now())


async def _back(stage: Stage, death: _Death, serves: Callable[[], Awaitable[bool]]) -> float:
    """Seconds from the kill until it serves again. Raises `CommandFailed` when that is too late."""
    while not await serves():
        if stage.traffic.now() - death.killed > LATEST_SECONDS:
            raise CommandFailed(f"it is not back after {LATEST_SECONDS:.0f} s")
        await asyncio.sleep(_POLL_SECONDS)
    return stage.traffic.now() - death.killed


async def _counts(stage: Stage, members: list[str]) -> dict[str, int]:
    """Requests that each gateway has counted in this life, as far as it has told."""
    return metrics.per_proxy(await stage.store.metrics(), members)


async def _under_way(stage: Stage, death: _Death) -> list[Page]:
    """All pages that were on their way at the kill or began later, up to now."""
    await stage.traffic.settled()
    return [page for page in stage.traffic.pages if page.ended >= death.killed]


def _went_with(page: Page, death: _Death) -> bool:
    """Whether it was in flight and cut off; a connection that is refused was not in flight."""
    return page.started <= death.gone and page.error.startswith(_CUT_OFF)
