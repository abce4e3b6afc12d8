"""Requests are carried out once: a retry, which has the same id, gets the answer of the first.

A retry that comes while the first is being carried out waits for it. What fails by an exception is
not remembered: the retry tries again. Older answers are forgotten; what must survive a restart is
in the ledgers (a desired workload has its request's id).
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final

from tulle.bus.messages import Answer

REMEMBERED: Final = 1024


class Answers:
    """The newest answers by request id."""

    def __init__(self, remembered: int = REMEMBERED) -> None:
        self._answers: OrderedDict[str, asyncio.Future[Answer]] = OrderedDict()
        self._remembered = remembered

    async def once(self, request_id: str, carry_out: Callable[[], Awaitable[Answer]]) -> Answer:
        """The answer, of this call or of an earlier one. Raises what `carry_out` raises."""
        if (earlier := self._answers.get(request_id)) is not None:
            return await asyncio.shield(earlier)
        task = asyncio.ensure_future(carry_out())
        self._answers[request_id] = task
        while len(self._answers) > self._remembered:
            self._answers.popitem(last=False)
        try:
            return await task
        except BaseException:
            self._answers.pop(request_id, None)
            raise
