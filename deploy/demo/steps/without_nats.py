"""Step 8: NATS says nothing for some seconds; pages go on, and the next policy is heard by all."""

import asyncio

from tulle.deploy.demo import actors
from tulle.deploy.demo.pages import count_versions
from tulle.deploy.demo.stage import Stage, why
from tulle.deploy.demo.statistics import shown
from tulle.deploy.errors import Failure

STOPPED_SECONDS = 5.0
ASKING_SECONDS = 1.0  # of these, to see that the control plane is silent
APPLIED_SECONDS = 10.0
PAGES = 60


async def run(stage: Stage) -> None:
    """All checks of step 8."""
    began = stage.traffic.now()
    await _stopped(stage)
    await _applied(stage)
    await stage.none_failed(began)


async def _stopped(stage: Stage) -> None:
    expected = "every page is whole, the control plane says nothing"
    with stage.check(f"NATS stopped for {STOPPED_SECONDS:.0f} s", expected) as outcome:
        began = stage.traffic.now()
        with actors.nats_stopped(stage.store.layout):
            await asyncio.sleep(STOPPED_SECONDS - ASKING_SECONDS)
            silent = await _silent(stage)
        pages = stage.traffic.since(began)
        failed = [page for page in pages if page.failed]
        said = "silent" if silent else "NOT silent"
        seen = f"{len(pages) - len(failed)} whole, {len(failed)} not{why(failed)}; NATS was {said}"
        outcome.saw(seen, bool(pages) and not failed and silent)


async def _applied(stage: Stage) -> None:
    expected = f"all v3, applied by all in {APPLIED_SECONDS:.0f} s"
    with stage.check("then a policy at once", expected) as outcome:
        began = stage.traffic.now()
        await stage.store.apply_policy("reviews-v3.yaml")
        seconds = stage.traffic.now() - began
        counts = count_versions(await stage.pages(PAGES), "reviews")
        well = set(counts) == {"v3"} and seconds <= APPLIED_SECONDS
        outcome.saw(f"{shown(counts)}, applied by all in {seconds:.1f} s", well)


async def _silent(stage: Stage) -> bool:
    """Whether nobody answers for a while."""
    try:
        async with asyncio.timeout(ASKING_SECONDS):
            await stage.store.status()
    except (TimeoutError, Failure):
        return True
    return False
