"""What a connection delivers to: subscriptions with a queue and a handler of their own.

The connection re-makes its link after each break; a subscription outlives that. Its messages wait
in a bounded queue, so that a slow handler never holds up the link and a break never cuts a handler
off in the middle.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from tulle.bus.tasks import end_task

PENDING: Final = 8192
"""How many messages may wait for a handler unless said otherwise."""

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Message:
    """A received message. `reply`: where an answer goes, empty when none is wanted."""

    subject: str
    data: bytes
    reply: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


Handler = Callable[[Message], Awaitable[None]]
Deliver = Callable[[Message], None]


@dataclass(slots=True, eq=False)
class Interest:
    """A subject that somebody wants to hear of; `deliver` must not wait. `queue`: its group."""

    subject: str
    deliver: Deliver
    queue: str = ""


class Subscription:
    """Calls `handler` for one message after the other, in order, until `stop`.

    What a handler raises is logged and ends nothing. When `pending` messages wait, further ones
    are dropped and counted in `dropped`: whoever can't miss any reads the store.
    """

    def __init__(self, subject: str, handler: Handler, queue: str = "", pending: int = PENDING):
        self.interest = Interest(subject, self._take, queue)
        self.dropped = 0
        self._stopped = False
        self._handler = handler
        self._waiting: asyncio.Queue[Message] = asyncio.Queue(pending)
        self._task = asyncio.create_task(self._handle(), name=f"subscription {subject}")

    async def finish(self) -> None:
        """Returns when all that was delivered has been handled."""
        await self._waiting.join()

    async def stop(self) -> None:
        """Ends the handler, in the middle if need be, and drops what waits."""
        self._stopped = True  # a handler that stops itself: there may be no wait to cancel
        await end_task(self._task)

    def _take(self, message: Message) -> None:
        try:
            self._waiting.put_nowait(message)
        except asyncio.QueueFull:
            self.dropped += 1
            if self.dropped.bit_count() == 1:  # 1, 2, 4, 8, ...: the log has a bound as well
                _LOG.warning(
                    "messages dropped, the handler is too slow: subject=%s dropped=%d",
                    self.interest.subject,
                    self.dropped,
                )

    async def _handle(self) -> None:
        while not self._stopped:
            message = await self._waiting.get()
            try:
                await self._handler(message)
            except Exception:
                _LOG.exception("a handler failed: subject=%s", message.subject)
            finally:
                self._waiting.task_done()
