"""A mesh that answers as a test says, in place of NATS: what it was asked is kept."""

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from tulle.bus import codec
from tulle.bus.errors import BusError, NobodyListens
from tulle.bus.messages import Answer
from tulle.bus.subscription import Message
from tulle.deploy.api import Api
from tulle.deploy.settings import Settings


@dataclass(slots=True)
class FakeMesh:
    """Answers by the end of the subject, as in `api.policy.apply`; nobody listens to others."""

    answers: dict[str, list[Answer] | BusError] = field(default_factory=dict)
    asked: list[tuple[str, bytes]] = field(default_factory=list)

    async def request(self, subject: str, data: bytes, timeout: float) -> Message:  # noqa: ASYNC109
        return self._find(subject, data)[0]

    async def request_many(
        self,
        subject: str,
        data: bytes,
        timeout: float,  # noqa: ASYNC109
        *,
        done: Callable[[Message], bool],
    ) -> AsyncIterator[Message]:
        for message in self._find(subject, data):
            yield message
            if done(message):
                return

    @contextlib.asynccontextmanager
    async def connect(self, settings: Settings) -> AsyncIterator[Api]:
        yield Api(settings.mesh, self, retries=False)

    def _find(self, subject: str, data: bytes) -> list[Message]:
        self.asked.append((subject, data))
        for end, answers in self.answers.items():
            if subject.endswith(end):
                if isinstance(answers, BusError):
                    raise answers
                return [Message(subject, codec.encode(answer)) for answer in answers]
        raise NobodyListens(subject)
