"""Replies: one subscription per connection, one token per request, whoever waits for its answers.

The counterpart is `connection.py`, which sends the requests and feeds replies and failures in.
"""

import asyncio
import itertools
from typing import Final

from tulle.bus.errors import BusError, Forbidden, NoAnswer, NobodyListens
from tulle.bus.subscription import Interest, Message

ANSWERS_PENDING: Final = 4096


class Waiting:
    """One request's answers, in the order of arrival; `subject`: what was asked."""

    def __init__(self, inbox: "Inbox", subject: str, token: str, began: float) -> None:
        self.subject = subject
        self.reply = f"{inbox.prefix}.{token}"
        self.began = began
        self._inbox = inbox
        self._token = token
        self._answers: asyncio.Queue[Message | BusError] = asyncio.Queue(ANSWERS_PENDING)

    async def next(self, seconds: float) -> Message:
        """The next answer. Raises `NoAnswer` after `seconds`, or why there will be none."""
        try:
            # Not wait_for: before Python 3.12 it may swallow a cancellation.
            async with asyncio.timeout(seconds):
                answer = await self._answers.get()
        except TimeoutError:
            raise NoAnswer(self.subject, seconds) from None
        if isinstance(answer, BusError):
            raise answer
        if not answer.data and answer.headers.get("Status") == "503":
            raise NobodyListens(self.subject)
        return answer

    def put(self, answer: Message | BusError) -> None:
        """Takes an answer; one above the bound is dropped, its reader has given up or will fail."""
        if not self._answers.full():
            self._answers.put_nowait(answer)

    def __enter__(self) -> "Waiting":
        return self

    def __exit__(self, *_: object) -> None:
        self._inbox.forget(self._token)


class Inbox:
    """All requests of one connection that wait for answers. `prefix`: unique to the connection."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.interest = Interest(f"{prefix}.*", self._take)
        self._tokens = itertools.count(1)
        self._waiting: dict[str, Waiting] = {}

    def expect(self, subject: str, now: float) -> Waiting:
        """Opens a place for the answers to a request; use it as a context manager."""
        token = str(next(self._tokens))
        waiting = self._waiting[token] = Waiting(self, subject, token, now)
        return waiting

    def forget(self, token: str) -> None:
        """Closes it; answers that still come are dropped."""
        self._waiting.pop(token, None)

    def fail_forbidden(self, error: Forbidden) -> bool:
        """Fails all who asked on its subject (NATS: in small letters); whether there were any."""
        asked = [one for one in self._waiting.values() if one.subject.lower() == error.subject]
        for waiting in asked:
            waiting.put(Forbidden(error.user, error.action, waiting.subject))
        return bool(asked)

    def fail_all(self, because: str, now: float) -> None:
        """The connection broke: no answer will come to anyone."""
        for waiting in self._waiting.values():
            waiting.put(NoAnswer(waiting.subject, now - waiting.began, because))

    def _take(self, message: Message) -> None:
        waiting = self._waiting.get(message.subject.rpartition(".")[2])
        if waiting is not None:
            waiting.put(message)
