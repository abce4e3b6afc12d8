"""Step 3: gateways come and go under traffic; nobody waits, nobody is refused."""

import asyncio

from tulle.bus.messages import ProxyReport
from tulle.deploy.demo import metrics
from tulle.deploy.demo.pages import Page
from tulle.deploy.demo.stage import Stage, why
from tulle.deploy.demo.statistics import shown

SPREAD_PAGES = 400
LARGEST_SHARE = 0.5
MORE = 3
PAGES_AFTER = 100
COUNTED_SECONDS = 10.0
_POLL_SECONDS = 0.25


async def run(stage: Stage) -> None:
    """All checks of step 3."""
    began = stage.traffic.now()
    await _scale(stage, MORE)
    await _spread(stage)
    await _scale(stage, 1)
    with stage.check("traffic goes on with one gateway", f"{PAGES_AFTER} whole pages") as outcome:
        pages = await stage.pages(PAGES_AFTER)
        failed = [page for page in pages if page.failed]
        outcome.saw(f"{len(pages) - len(failed)} whole pages{why(failed)}", not failed)
    await stage.none_failed(began)
    with stage.check("no connection is refused", "0 refused") as outcome:
        pages = stage.traffic.since(began)
        refused = [page for page in pages if _refused(page)]
        retried = sum(page.retried for page in pages)
        outcome.saw(f"{len(refused)} refused; {retried} kept ones closed, sent again", not refused)


async def _scale(stage: Stage, replicas: int) -> None:
    with stage.check(f"tulle scale ingress {replicas}", f"{replicas} serving") as outcome:
        await stage.store.scale(replicas)
        async with asyncio.timeout(COUNTED_SECONDS):
            while len(serving := await gateways(stage)) != replicas:
                outcome.saw(f"{len(serving)} serving", False)
                await asyncio.sleep(_POLL_SECONDS)
        outcome.saw(f"{len(serving)} serving", True)


async def _spread(stage: Stage) -> None:
    expected = f"no one serves over {LARGEST_SHARE:.0%}"
    with stage.check("the load spreads over the gateways", expected) as outcome:
        names = [proxy.id for proxy in await gateways(stage)]
        before = metrics.per_proxy(await stage.store.metrics(), names)
        await stage.pages(SPREAD_PAGES)
        after = metrics.per_proxy(await stage.store.metrics(), names)
        served = {name: after[name] - before[name] for name in names}
        total = sum(served.values())
        even = len(served) == MORE and max(served.values()) <= LARGEST_SHARE * total
        outcome.saw(shown(served), total > 0 and even)


async def gateways(stage: Stage) -> list[ProxyReport]:
    """Those that serve."""
    proxies = (await stage.store.status()).proxies
    return [proxy for proxy in proxies if proxy.role == "gateway" and proxy.state == "ready"]


def _refused(page: Page) -> bool:
    return page.error.startswith("ConnectionRefusedError")
