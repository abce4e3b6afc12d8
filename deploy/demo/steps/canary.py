"""Step 2: who sees which version of reviews changes under traffic, and no request notices."""

from collections.abc import Mapping

from tulle.deploy.demo.pages import count_versions
from tulle.deploy.demo.stage import Stage
from tulle.deploy.demo.statistics import SIGMAS, shown, within

SPLIT_PAGES = 400
SWITCH_PAGES = 60
USER_RATE = 20.0


async def run(stage: Stage) -> None:
    """All checks of step 2."""
    began = stage.traffic.now()
    await _split(stage, "canary 90/10", "reviews-90-10.yaml", {"v1": 0.9, "v2": 0.1}, SPLIT_PAGES)
    await _split(stage, "canary 50/50", "reviews-50-50.yaml", {"v1": 0.5, "v2": 0.5}, SPLIT_PAGES)
    await _split(stage, "100 % v3", "reviews-v3.yaml", {"v3": 1.0}, SWITCH_PAGES)
    await _by_header(stage)
    await _split(stage, "blue: all v1", "reviews-v1.yaml", {"v1": 1.0}, SWITCH_PAGES)
    await _split(stage, "green: all v3", "reviews-v3.yaml", {"v3": 1.0}, SWITCH_PAGES)
    await _split(stage, "back to blue: all v1", "reviews-v1.yaml", {"v1": 1.0}, SWITCH_PAGES)
    await stage.none_failed(began, "no request failed during any change")


async def _split(
    stage: Stage, name: str, policy: str, shares: Mapping[str, float], pages: int
) -> None:
    """Applies `policy`; of the pages that start after that, `shares` show each version."""
    chance = f" within {SIGMAS:.0f} sigma" if len(shares) > 1 else ""
    expected = ", ".join(f"{version} {share:.0%}" for version, share in shares.items()) + chance
    with stage.check(name, expected) as outcome:
        await stage.store.apply_policy(policy)
        counts = count_versions(await stage.pages(pages), "reviews")
        enough = sum(counts.values()) >= pages
        outcome.saw(shown(counts), enough and within(counts, shares))


async def _by_header(stage: Stage) -> None:
    with stage.check("end-user: jason sees v2", "jason v2 100%, others v3 100%") as outcome:
        await stage.store.apply_policy("reviews-jason.yaml")
        jason = stage.visitors(USER_RATE, {"end-user": "jason"})
        jason.start()
        try:
            others = count_versions(await stage.pages(SWITCH_PAGES), "reviews")
        finally:
            await jason.stop()
        his = count_versions(jason.pages, "reviews")
        well = set(his) == {"v2"} and set(others) == {"v3"}
        whole = not any(page.failed for page in jason.pages)
        outcome.saw(f"jason {shown(his)}; others {shown(others)}", well and whole)
