"""The mesh's API as commands use it: NATS requests to evaluators and supervisor.

What goes wrong on the bus becomes a `Failure` here, a sentence that says what to do next.
"""

import asyncio
import contextlib
import dataclasses
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from typing import Protocol, TypeVar

from tulle.bus import codec
from tulle.bus.credentials import Credentials
from tulle.bus.errors import (
    BusError,
    ConnectFailed,
    Forbidden,
    NoAnswer,
    NobodyListens,
    NotConnected,
    UserRefused,
)
from tulle.bus.messages import Answer, Request
from tulle.bus.subjects import Subjects
from tulle.bus.subscription import Message
from tulle.deploy.errors import Failure, NoMesh, NotAllowed
from tulle.deploy.home import Home, MeshFile
from tulle.deploy.settings import Settings

AnswerT = TypeVar("AnswerT", bound=Answer)

AGAIN = frozenset({"busy", "not-leading", "unavailable", "bus", "unknown-outcome"})
"""Codes of problems that pass: the same request, id included, is sent again."""

UNSURE = frozenset({"unknown-outcome", "internal"})
"""Codes of problems that leave open whether the request was carried out."""

NOT_PUBLISHED = "not-published-yet"
"""The code that says: stored, and not on its way to the proxies yet."""

SECONDS = 10.0
CONNECT_SECONDS = 3.0
_ATTEMPT_SECONDS = 3.0
_RETRY_SECONDS = 0.2


class Requests(Protocol):
    """What is needed of a bus.connection.Connection; tests bring their own."""

    async def request(self, subject: str, data: bytes, timeout: float) -> Message:  # noqa: ASYNC109
        """One answer. Raises `NoAnswer`, `NobodyListens`, ..."""

    def request_many(
        self, subject: str, data: bytes, timeout: float, *, done: Callable[[Message], bool]
    ) -> AsyncIterator[Message]:
        """Answers up to that which is `done`, `timeout` s for each."""


class Api:
    """Requests to one mesh, each sent again with the same id while nobody answers, or somebody who
    can't now: a new leader takes over within 2.5 s, and nobody carries out an id twice.

    `retries`: False: once.
    """

    def __init__(self, mesh: str, requests: Requests, *, retries: bool = True) -> None:
        self.subjects = Subjects(mesh)
        self._requests = requests
        self._retries = retries

    async def ask(
        self, subject: str, request: Request, expected: type[AnswerT], seconds: float = SECONDS
    ) -> AnswerT:
        """The answer, good or bad. Raises `Failure` when there is none within `seconds`."""
        data = codec.encode(request)
        with said_plainly():
            async for attempt in self._attempts(seconds):
                with attempt:
                    message = await self._requests.request(subject, data, attempt.seconds)
                    answer = codec.decode(expected, message.data)
                    if attempt.last or not passes(answer):
                        return answer
        raise AssertionError("the last attempt returns or raises")

    async def follow(
        self, subject: str, request: Request, seconds: float = SECONDS
    ) -> AsyncIterator[Answer]:
        """Answers up to the last, which is `done`; one comes each second while somebody works.

        Raises `Failure` when the last does not come within `seconds`.
        """
        data = codec.encode(request)
        with said_plainly():
            async for attempt in self._attempts(seconds):
                with attempt:
                    again = False
                    async for message in self._requests.request_many(
                        subject, data, attempt.seconds, done=_is_done
                    ):
                        answer = codec.decode(Answer, message.data)
                        again = passes(answer) and not attempt.last
                        if not again:
                            yield answer
                    if not again:
                        return

    async def _attempts(self, seconds: float) -> AsyncIterator["_Attempt"]:
        clock = asyncio.get_running_loop().time
        deadline = clock() + seconds
        while self._retries and (left := deadline - clock()) > _ATTEMPT_SECONDS:
            yield _Attempt(_ATTEMPT_SECONDS, last=False)
            await asyncio.sleep(min(_RETRY_SECONDS, left))
        yield _Attempt(max(_RETRY_SECONDS, deadline - clock()), last=True)


@dataclasses.dataclass(frozen=True, slots=True)
class _Attempt:
    """One try: that nobody answered ends it quietly, unless it is the last."""

    seconds: float
    last: bool

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        unanswered = (NobodyListens, NoAnswer, NotConnected)
        return kind is not None and issubclass(kind, unanswered) and not self.last


Connect = Callable[[Settings], AbstractAsyncContextManager[Api]]


def credentials(settings: Settings, role: str) -> Credentials:
    """How to reach the mesh as `role`: what the settings say, else its `mesh.json`.

    Raises `NoMesh` when it does not run, `Failure` when a file can't be used.
    """
    path = settings.creds or _own(settings).creds_of(role)
    advice = (
        "name a file of `tulle runner add`, or unset TULLE_CREDS"
        if settings.creds is not None
        else "`tulle down` and `tulle up` write it again"
    )
    try:
        found = Credentials.read(path)
    except OSError as error:
        why = (error.strerror or "").lower()
        raise Failure(f"can't read the credentials {path}: {why}; {advice}") from error
    except ValueError as error:
        raise Failure(f"{error}; {advice}") from error
    return dataclasses.replace(found, url=settings.nats) if settings.nats else found


def _own(settings: Settings) -> MeshFile:
    """`mesh.json`. Raises `NoMesh`."""
    try:
        return Home(settings.mesh_folder).mesh_now()
    except NoMesh as error:
        if settings.nats is None:
            raise
        raise NoMesh(
            f"TULLE_NATS is set and TULLE_CREDS is not, and {error}, or set TULLE_CREDS too"
        ) from error


@contextlib.asynccontextmanager
async def connect(settings: Settings) -> AsyncIterator[Api]:
    """The API of the mesh that runs, as the operator. Raises `Failure`."""
    from tulle.bus.connection import connect as connect_to_nats  # imports nats: not for --help

    who = credentials(settings, "operator")
    with said_plainly():
        connection = await connect_to_nats(
            who.url, who, name="tulle-cli", first_timeout=CONNECT_SECONDS
        )
    async with connection:
        yield Api(settings.mesh, connection)


def codes(answer: Answer) -> frozenset[str]:
    """The codes of the answer's problems."""
    return frozenset(problem.code for problem in answer.problems)


def passes(answer: Answer) -> bool:
    """Whether it is no answer to keep: the same request may be carried out in a moment."""
    return not answer.ok and bool(codes(answer) & AGAIN)


def new_id() -> str:
    """An id for one intent, the same in all its retries."""
    return uuid.uuid4().hex


@contextlib.contextmanager
def said_plainly() -> Iterator[None]:
    """Errors of the bus become a `Failure`."""
    try:
        yield
    except UserRefused as error:
        raise NotAllowed(
            f"NATS at {error.url} lets nobody in with these credentials, user {error.user!r} was "
            "refused: it was removed, or is of another mesh; use others (TULLE_CREDS, --creds)"
        ) from error
    except ConnectFailed as error:
        raise NoMesh(f"{error}; is the mesh up (`tulle up`), and TULLE_NATS right?") from error
    except NobodyListens as error:
        raise NoMesh(
            f"nobody in the mesh answers on {error.subject}: it is starting or without a leader; "
            "try again in some seconds, or look into its folder's logs/"
        ) from error
    except Forbidden as error:
        raise NotAllowed(
            f"the credentials are of NATS user {error.user!r}, which may not {error.action} "
            f"{error.subject}: use those of the operator (unset TULLE_CREDS)"
        ) from error
    except (NoAnswer, NotConnected) as error:
        raise Failure(f"{error}; say it again later") from error
    except BusError as error:
        raise Failure(str(error)) from error


def _is_done(message: Message) -> bool:
    return codec.decode(Answer, message.data).done
