"""What a step works with: the bookstore, the traffic on it, and where its checks go."""

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass

from tulle.deploy.demo.bookstore import Bookstore
from tulle.deploy.demo.checks import Checks, Outcome
from tulle.deploy.demo.pages import Page
from tulle.deploy.demo.traffic import Traffic

PAGES_SECONDS = 60.0  # for the pages that one check waits for
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Stage:
    """One step's view of the demo. `traffic` runs all the time; `others` are a step's own."""

    step: int
    store: Bookstore
    traffic: Traffic
    others: list[Traffic]
    checks: Checks

    def check(self, name: str, expected: str) -> AbstractContextManager[Outcome]:
        """A check of this step."""
        return self.checks.check(self.step, name, expected)

    def visitors(self, rate: float, headers: Mapping[str, str]) -> Traffic:
        """More traffic, not started yet; its requests count as the demo's."""
        traffic = Traffic(self.store.ingress, rate=rate, headers=headers)
        self.others.append(traffic)
        return traffic

    async def judged(self, rate: float, headers: Mapping[str, str], count: int) -> list[Page]:
        """`count` pages of visitors whom the step judges itself: the demo counts no failure."""
        traffic = Traffic(self.store.ingress, rate=rate, headers=headers)
        traffic.start()
        try:
            await traffic.pages_after(traffic.now(), count, seconds=PAGES_SECONDS)
        finally:
            await traffic.stop()
        return list(traffic.pages)

    async def pages(self, count: int) -> list[Page]:
        """The next pages that start from now on, at least `count`. Raises `TimeoutError`."""
        return await self.traffic.pages_after(self.traffic.now(), count, seconds=PAGES_SECONDS)

    async def none_failed(self, since: float, name: str = "no request failed") -> None:
        """The check that every page that started at `since` or later is whole."""
        with self.check(name, "0 failed") as outcome:
            await self.traffic.settled()
            pages = [
                page for source in (self.traffic, *self.others) for page in source.since(since)
            ]
            failed = [page for page in pages if page.failed]
            outcome.saw(f"{len(failed)} of {len(pages)} failed{why(failed)}", not failed)


def why(failed: Iterable[Page]) -> str:
    """The distinct errors of pages, the first few; empty when there are none."""
    errors = sorted({page.error for page in failed})
    more = f" and {len(errors) - _SHOWN} more kinds" if len(errors) > _SHOWN else ""
    return f" ({'; '.join(errors[:_SHOWN])}{more})" if errors else ""
