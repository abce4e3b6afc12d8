"""How a control actor answers requests on NATS: decode, decide, reply; and how it first connects.

`Server` runs each request in a task of its own, so that one that waits (a drain, a scale) holds up
nobody, up to a bound; above it, and when a request can't be read, the answer says so at once.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final, TypeVar

from tulle.actors import logs
from tulle.actors.control import ControlSpec
from tulle.bus.codec import decode, encode
from tulle.bus.connection import Connection, connect
from tulle.bus.credentials import Credentials
from tulle.bus.errors import BusError, ConnectFailed, Undecodable
from tulle.bus.messages import Answer, ProblemRecord, Request
from tulle.bus.subjects import Subjects
from tulle.bus.subscription import Message

RequestT = TypeVar("RequestT", bound=Request)
Handler = Callable[[tuple[str, ...], RequestT], Awaitable[Answer | None]]
"""Gets the subject's parts and the request; None: it is another replica's to answer."""
Endpoint = Callable[[tuple[str, ...], bytes], Awaitable[Answer | None]]

AT_ONCE: Final = 256

_LOG = logging.getLogger(__name__)


def refusal(request_id: str, code: str, message: str, path: str = "") -> Answer:
    """The answer that says one error."""
    problem = ProblemRecord(code=code, severity="error", path=path, message=message)
    return Answer(id=request_id, ok=False, problems=[problem])


def endpoint(expected: type[RequestT], handler: Handler[RequestT]) -> Endpoint:
    """`handler` for the bytes of a request of type `expected`; whatever fails is an answer."""

    async def answer(parts: tuple[str, ...], data: bytes) -> Answer | None:
        try:
            request = decode(expected, data)
        except Undecodable as error:
            return refusal("", "bad-request", str(error))
        try:
            return await handler(parts, request)
        except BusError as error:
            return refusal(request.id, "bus", f"not done, or not for sure: {error}; retry")
        except Exception as error:
            _LOG.exception("request failed: type=%s id=%s", expected.__name__, request.id)
            return refusal(request.id, "internal", f"failed: {error!r}; see {logs.where()}")

    return answer


def by_verb(endpoints: Mapping[str, Endpoint]) -> Endpoint:
    """Chooses by the subject's first part; the endpoints get the others."""

    async def answer(parts: tuple[str, ...], data: bytes) -> Answer | None:
        if (chosen := endpoints.get(parts[0])) is not None:
            return await chosen(parts[1:], data)
        return refusal("", "unknown-verb", f"{parts[0]!r} is none of {', '.join(endpoints)}")

    return answer


class Server:
    """Serves requests that come over `connection`."""

    def __init__(self, connection: Connection, subjects: Subjects, at_once: int = AT_ONCE) -> None:
        self._connection = connection
        self._subjects = subjects
        self._at_once = at_once
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, subject: str, endpoint: Endpoint, queue: str = "") -> None:
        """Answers requests on `subject` from now on. Raises `Forbidden`."""

        async def received(message: Message) -> None:
            if len(self._tasks) >= self._at_once:
                await self._reply(message, refusal("", "busy", "too many requests at once: retry"))
                return
            task = asyncio.create_task(self._handle(message, endpoint))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

        await self._connection.subscribe(subject, received, queue)

    async def stop(self) -> None:
        """Ends what is being answered."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _handle(self, message: Message, endpoint: Endpoint) -> None:
        try:
            parts = self._subjects.parse(message.subject).parts
        except ValueError as error:
            answer: Answer | None = refusal("", "bad-request", str(error))
        else:
            answer = await endpoint(parts, message.data)
        if answer is not None:
            await self._reply(message, answer)

    async def _reply(self, message: Message, answer: Answer) -> None:
        if not message.reply:
            return
        try:
            await self._connection.publish(message.reply, encode(answer))
        except BusError as error:
            # Who asked retries with the same id.
            _LOG.warning("not answered: subject=%s error=%s", message.subject, error)


async def connect_for_ever(spec: ControlSpec, *, one_start: bool = False) -> Connection:
    """A connection for `spec`, however long NATS is away; credentials are read at each attempt.

    `one_start`: as of `connect`, for a life that remembers what it read from the store.
    """
    while True:
        try:
            credentials = Credentials.read(Path(spec.nats_credentials))
            return await connect(spec.nats_url, credentials, name=spec.name, one_start=one_start)
        except (ConnectFailed, OSError, ValueError) as error:
            _LOG.warning("not connected yet: name=%s error=%s", spec.name, error)
            await asyncio.sleep(1.0)
