"""The demo's open-loop traffic: requests start by the clock, whatever became of those before.

Every second request comes on a new connection; the others take turns on a few kept ones.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from itertools import takewhile

from tulle.deploy.demo.exchange import ConnectionLost
from tulle.deploy.demo.pages import Page, page_of
from tulle.deploy.demo.visitors import Visitors

PATH = "/productpage"
HOST = "bookstore.example"
RATE = 40.0  # requests per second
REQUEST_SECONDS = 10.0
IN_FLIGHT_LIMIT = 400
KEPT_CONNECTIONS = 8
HISTORY = 100_000  # pages kept in memory


class Traffic:
    """Pages asked of the ingress gateway at `rate` per second between `start` and `stop`."""

    def __init__(
        self,
        address: tuple[str, int],
        *,
        rate: float = RATE,
        headers: Mapping[str, str] | None = None,
        visitors: Visitors | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.pages: deque[Page] = deque(maxlen=HISTORY)
        self.sent = 0
        self.lost = 0  # of those sent: in flight in a proxy that the demo killed
        self._visitors = visitors or Visitors(address, PATH, HOST, headers or {}, KEPT_CONNECTIONS)
        self._interval = 1.0 / rate
        self._clock = clock
        self._in_flight: set[asyncio.Task[None]] = set()
        self._runner: asyncio.Task[None] | None = None
        self._finished = asyncio.Event()

    def start(self) -> None:
        """Begins to send, from now on."""
        self._runner = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Sends no more; returns when all that was sent is answered or has failed."""
        if self._runner is not None:
            self._runner.cancel()
            await asyncio.wait([self._runner])
            self._runner = None
        await self.settled()
        self._visitors.close()

    async def settled(self) -> None:
        """Returns when all that was sent up to now is answered or has failed."""
        if self._in_flight:
            await asyncio.wait(set(self._in_flight))

    def now(self) -> float:
        """The time in seconds that pages carry."""
        return self._clock()

    def give_up(self, pages: Iterable[Page]) -> None:
        """Counts these as lost; they are not among `pages` any more."""
        for page in pages:
            self.pages.remove(page)
            self.lost += 1

    def since(self, moment: float) -> list[Page]:
        """The finished pages that started at `moment` or later, the latest end first."""
        ended_after = takewhile(lambda page: page.ended >= moment, reversed(self.pages))
        return [page for page in ended_after if page.started >= moment]

    async def pages_after(self, moment: float, count: int, *, seconds: float) -> list[Page]:
        """At least `count` finished pages that started at `moment` or later.

        Raises `TimeoutError` after `seconds`.
        """
        async with asyncio.timeout(seconds):
            while len(found := self.since(moment)) < count:
                self._finished.clear()
                await self._finished.wait()
        return found

    async def _run(self) -> None:
        start, number = self._clock(), 0
        while True:
            await asyncio.sleep(max(0.0, start + number * self._interval - self._clock()))
            self._send(number)
            number += 1

    def _send(self, number: int) -> None:
        self.sent += 1
        now = self._clock()
        if len(self._in_flight) >= IN_FLIGHT_LIMIT:
            self._finish(Page(now, now, error=f"not sent: {IN_FLIGHT_LIMIT} requests wait already"))
            return
        task = asyncio.create_task(self._request(number, now))
        self._in_flight.add(task)
        task.add_done_callback(self._in_flight.discard)

    async def _request(self, number: int, started: float) -> None:
        retried = False
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                if number % 2 == 0:
                    answer = await self._visitors.get_once()
                else:
                    slot = number // 2 % KEPT_CONNECTIONS
                    answer, retried = await self._visitors.get_kept(slot)
        except TimeoutError:
            error = f"no answer in {REQUEST_SECONDS:.0f} s"
            self._finish(Page(started, self._clock(), error=error))
        except (OSError, ConnectionLost) as lost:
            error = f"{type(lost).__name__}: {lost}"
            self._finish(Page(started, self._clock(), error=error))
        else:
            self._finish(page_of(answer, started, self._clock(), retried=retried))

    def _finish(self, page: Page) -> None:
        self.pages.append(page)
        self._finished.set()
