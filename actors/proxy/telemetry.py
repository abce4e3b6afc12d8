"""What leaves a proxy each second: its counters' absolute values (counterpart: actors.telemetry).

Series that changed; all of them at first, on request, after a break, and every `FULL_EVERY`
seconds, which repairs what was lost on the way.
"""

import asyncio
import contextlib
import logging
from typing import Final

from tulle.actors.proxy.stats import Stats
from tulle.bus import codec
from tulle.bus.connection import Connection
from tulle.bus.errors import BusError
from tulle.bus.messages import TelemetryBatch
from tulle.bus.subjects import Subjects

FULL_EVERY: Final = 30.0
SHARD: Final = "0"
LAST_SECONDS: Final = 5.0
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
        self._subject = subjects.telemetry(SHARD, proxy)
        self._stats = stats
        self._proxy = proxy
        self._started = started
        self._full_due = 0.0

    def want_all(self) -> None:
        """The next `send` sends all."""
        self._full_due = 0.0

    async def last_words(self, now: float) -> None:
        """Sends all, for the last time, and returns when NATS has it; `LAST_SECONDS` at most."""
        try:
            async with asyncio.timeout(LAST_SECONDS):
                while True:
                    self.want_all()
                    await self.send(now, last=True)
                    with contextlib.suppress(BusError):
                        await self._connection.flush()
                        return
                    await asyncio.sleep(RETRY_SECONDS)
        except TimeoutError:
            log.warning("what was counted last is lost: nobody took it")

    async def send(self, now: float, *, last: bool = False) -> None:
        """Sends what is due at monotonic time `now`; what fails is sent in full later."""
        full = now >= self._full_due
        series = self._stats.snapshot(changed_only=not full)
        if not series and not full:
            return
        self._full_due = now + FULL_EVERY if full else self._full_due
        try:
            for start in range(0, max(len(series), 1), BATCH):
                batch = TelemetryBatch(
                    proxy=self._proxy,
                    started=self._started,
                    full=full,
                    last=last,
                    series=series[start : start + BATCH],
                )
                await self._connection.publish(self._subject, codec.encode(batch))
        except BusError as error:
            log.debug("telemetry was not sent: error=%s", error)
            self.want_all()
