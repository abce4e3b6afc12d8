"""Step 4: failures made on purpose reach the user that they are meant for, and nobody else."""

from collections.abc import Iterable

from tulle.deploy.demo.pages import Page, count_versions
from tulle.deploy.demo.stage import Stage, why
from tulle.deploy.demo.statistics import SIGMAS, shown, within

JASON = {"end-user": "jason"}
DELAYED_RATE = 5.0
DELAYED_PAGES = 15
DELAYED_SECONDS = 3.5  # the route's time-out of 3 s, and what a page takes
ABORTED_RATE = 20.0
ABORTED_PAGES = 100
ABORTED_SHARE = 0.5
PAGES = 100
TIMED_OUT = "reviews missing (504 route_timeout)"
ABORTED = "ratings missing (500 fault_injected)"


async def run(stage: Stage) -> None:
    """All checks of step 4."""
    began = stage.traffic.now()
    await _delay(stage)
    await _abort(stage)
    await _gone(stage)
    await stage.none_failed(began, "nobody else's page is touched")


async def _delay(stage: Stage) -> None:
    expected = f"jason's pages within {DELAYED_SECONDS} s, without reviews"
    with stage.check("ratings 7 s late for jason, reviews cut at 3 s", expected) as outcome:
        await stage.store.apply_policy("ratings-delay.yaml")
        pages = await stage.judged(DELAYED_RATE, JASON, DELAYED_PAGES)
        slowest = max(page.ended - page.started for page in pages)
        late = f"slowest {slowest:.2f} s" if pages else "no page"
        outcome.saw(f"{late}; {_errors(pages)}", all(map(delayed_as_said, pages)))


async def _abort(stage: Stage) -> None:
    expected = f"{ABORTED_SHARE:.0%} of jason's without ratings, within {SIGMAS:.0f} sigma"
    with stage.check("ratings aborted for half of jason's", expected) as outcome:
        await stage.store.apply_policy("ratings-abort.yaml")
        pages = await stage.judged(ABORTED_RATE, JASON, ABORTED_PAGES)
        counts = {"whole": 0, "without": 0, "other": 0}
        for page in pages:
            counts[_outcome(page)] += 1
        shares = {"whole": 1 - ABORTED_SHARE, "without": ABORTED_SHARE, "other": 0.0}
        outcome.saw(f"{shown(counts)}; {_errors(pages)}", bool(pages) and within(counts, shares))


async def _gone(stage: Stage) -> None:
    with stage.check("tulle delete virtualservice ratings", "jason's pages are whole") as outcome:
        await stage.store.delete_policy("virtualservice", "ratings")
        pages = await stage.judged(ABORTED_RATE, JASON, PAGES)
        failed = [page for page in pages if page.failed]
        seen = f"{shown(count_versions(pages, 'ratings'))}{why(failed)}"
        outcome.saw(seen, bool(pages) and not failed)


def delayed_as_said(page: Page) -> bool:
    """Whether the page came in time, without reviews and with all the rest."""
    in_time = page.ended - page.started <= DELAYED_SECONDS
    return in_time and page.error == TIMED_OUT and set(page.parts) == {"productpage", "details"}


def _outcome(page: Page) -> str:
    if not page.failed:
        return "whole"
    return "without" if page.error == ABORTED and "reviews" in page.parts else "other"


def _errors(pages: Iterable[Page]) -> str:
    return "; ".join(sorted({page.error or "whole" for page in pages}))
