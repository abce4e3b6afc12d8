"""Applies that wait until every proxy has installed them (`tulle apply --wait`). Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from tulle.actors.evaluator.proxies import ProxyTable
from tulle.bus.messages import Answer, ProblemRecord

REPEAT_EVERY = 1.0
"""Seconds between interim answers, so that a client knows that somebody still works for it."""


@dataclass(slots=True)
class Wait:
    """A committed request: its answer so far, the keys that changed, and until when to wait."""

    answer: Answer
    changed: Mapping[str, int]
    epoch: str
    deadline: float
    seconds: float
    said: list[str] | None = None
    said_at: float = 0.0

    def next_answer(self, proxies: ProxyTable, now: float) -> Answer | None:
        """What to tell the client now: the last answer has `done`; None: nothing new."""
        pending = proxies.pending(self.changed, self.epoch)
        if not pending:
            problems = [*self.answer.problems, *self._reported(proxies)]
            return self.answer.model_copy(update={"problems": problems})
        if now >= self.deadline:
            return self._too_late(pending)
        if pending == self.said and now < self.said_at + REPEAT_EVERY:
            return None
        self.said, self.said_at = pending, now
        return self.answer.model_copy(update={"pending": pending, "done": False})

    def _too_late(self, pending: list[str]) -> Answer:
        problem = ProblemRecord(
            code="not-applied-by-all",
            severity="error",
            message=f"committed, and not applied within {self.seconds:g} s by "
            f"{', '.join(pending)}; see `tulle status`",
        )
        return self.answer.model_copy(
            update={
                "ok": False,
                "pending": pending,
                "problems": [*self.answer.problems, problem],
            }
        )

    def _reported(self, proxies: ProxyTable) -> list[ProblemRecord]:
        return [
            ProblemRecord(code="proxy", severity="warning", message=f"{proxy}: {problem}")
            for proxy, problem in proxies.problems(self.changed)
        ]
