"""What leaves a proxy each second: its counters' absolute values (counterpart: actors.telemetry).

Series that changed; all of them at first, on request, after a break, and every `FULL_EVERY`
seconds, which repairs what was lost on the way.
"""

import asyncio
import logging
from typing import Final

from tulle.actors.proxy.stats import Stats
from tulle.actors.telemetry.shards import shard_of
from tulle.bus import codec
from tulle.bus.connection import Connection
from tulle.bus.errors import BusError
from tulle.bus.messages import TelemetryBatch
from tulle.bus.subjects import Subjects

FULL_EVERY: Final = 30.0
LAST_SECONDS: Final = 5.0
"""An actor is back within 4 s of its death (measured), a collector too."""
ANSWER_SECONDS: Final = 2.0
RETRY_SECONDS: Final = 0.1
BATCH: Final = 2000
"""Series in one message at most."""

log = logging.getLogger(__name__)


class TelemetrySender:
    """`send` once a second."""

    def __init__(
        self,
        connection: Connection,
        subjects: Subjects,
        stats: Stats,
        proxy: str,
        started: float,
    ) -> None:
        self._connection = connection
        self._subject = subjects.telemetry(shard_of(proxy), proxy)
        self._stats = stats
        self._proxy = proxy
        self._started = started
        self._full_due = 0.0

    def want_all(self) -> None:
        """The next `send` sends all."""
        self._full_due = 0.0

    async def last_words(self) -> None:
        """Sends all for the last time, until a collector has saved it; `LAST_SECONDS` at most."""
        *first, last = self._batches(changed_only=False, last=True)
        if not last.series:
            return
        try:
            async with asyncio.timeout(LAST_SECONDS):
                while True:
                    if await self._is_saved(first, last):
                        return
                    await asyncio.sleep(RETRY_SECONDS)
        except TimeoutError:
            log.warning("no collector has said that it has what was counted last")

    async def send(self, now: float) -> None:
        """Sends what is due at monotonic time `now`; what fails is sent in full later."""
        full = now >= self._full_due
        batches = self._batches(changed_only=not full)
        if not batches[0].series and not full:
            return
        self._full_due = now + FULL_EVERY if full else self._full_due
        try:
            for batch in batches:
                await self._connection.publish(self._subject, codec.encode(batch))
        except BusError as error:
            log.debug("telemetry was not sent: error=%s", error)
            self.want_all()

    async def _is_saved(self, first: list[TelemetryBatch], last: TelemetryBatch) -> bool:
        try:
            for batch in first:
                await self._connection.publish(self._subject, codec.encode(batch))
            await self._connection.request(self._subject, codec.encode(last), ANSWER_SECONDS)
        except BusError:
            return False
        return True

    def _batches(self, *, changed_only: bool, last: bool = False) -> list[TelemetryBatch]:
        """What there is to tell, in messages of `BATCH` series; one at least."""
        series = self._stats.snapshot(changed_only)
        return [
            TelemetryBatch(
                proxy=self._proxy,
                started=self._started,
                full=not changed_only,
                last=last,
                series=series[start : start + BATCH],
            )
            for start in range(0, max(len(series), 1), BATCH)
        ]
