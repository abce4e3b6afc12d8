"""A connection without a server, for units of the bus: what is attached is fed by the test."""

from collections.abc import Callable, Mapping

from tulle.bus.subscription import Interest, Message

Answerer = Callable[[str, bytes], Message | Exception]


class FakeConnection:
    """Answers requests by `answer`; keeps what was published and who listens."""

    def __init__(self, answer: Answerer) -> None:
        self.published: list[str] = []
        self.interests: list[Interest] = []
        self.reconnected: list[Callable[[], None]] = []
        self._answer = answer
        self._inboxes = 0

    def new_inbox(self) -> str:
        self._inboxes += 1
        return f"_INBOX.test.{self._inboxes}"

    def on_reconnect(self, callback: Callable[[], None]) -> None:
        self.reconnected.append(callback)

    def forget_reconnect(self, callback: Callable[[], None]) -> None:
        self.reconnected.remove(callback)

    async def attach(self, interest: Interest) -> None:
        self.interests.append(interest)

    async def detach(self, interest: Interest) -> None:
        if interest in self.interests:
            self.interests.remove(interest)

    async def publish(self, subject: str, data: bytes = b"") -> None:
        self.published.append(subject)

    async def request(
        self,
        subject: str,
        data: bytes = b"",
        timeout: float = 5.0,  # noqa: ASYNC109  as the real one
        *,
        headers: Mapping[str, str] | None = None,
    ) -> Message:
        answer = self._answer(subject, data)
        if isinstance(answer, Exception):
            raise answer
        return answer
