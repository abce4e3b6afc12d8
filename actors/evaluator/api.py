"""What the leading evaluator answers: api.policy.{apply,delete,get,list} and api.mesh.status.

One task per request, a bounded number of them. Commits are made one after the other; waiting for
proxies happens beside them. A request id that was carried out is answered from the log.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

from tulle.actors import logs
from tulle.actors.evaluator.commit import Author, commit_of
from tulle.actors.evaluator.picture import Picture
from tulle.actors.evaluator.proxies import ProxyTable
from tulle.actors.evaluator.publisher import Publisher
from tulle.actors.evaluator.pulse import Pulse
from tulle.actors.evaluator.requests import UNCHANGED, Checked, check_apply, check_delete, select
from tulle.actors.evaluator.waits import REPEAT_EVERY, Wait
from tulle.actors.leadership import Leader
from tulle.actors.serving import refusal
from tulle.bus import codec
from tulle.bus.connection import Connection
from tulle.bus.errors import (
    BusError,
    Conflict,
    Fenced,
    NoAnswer,
    NobodyListens,
    NotConnected,
    Undecodable,
)
from tulle.bus.messages import (
    Answer,
    ApplyRequest,
    DeleteRequest,
    GetRequest,
    MeshRequest,
    PoliciesAnswer,
    ProblemRecord,
    Request,
    Revision,
    StatusAnswer,
)
from tulle.bus.store import Change
from tulle.bus.subjects import Subjects
from tulle.bus.subscription import Message, Subscription
from tulle.policies.world import World

MAX_REQUESTS = 64
SEEN_SECONDS = 5.0
"""How long a commit without an answer, or its publication, is waited for."""

RequestT = TypeVar("RequestT", bound=Request)
log = logging.getLogger(__name__)


class PolicyApi:
    """The API of one term of leadership: `open` at election, `close` when deposed."""

    def __init__(
        self,
        connection: Connection,
        subjects: Subjects,
        *,
        name: str,
        epoch: str,
        leader: Leader,
        picture: Picture,
        seen: Pulse,
        publisher: Publisher,
        proxies: ProxyTable,
        reported: Pulse,
    ) -> None:
        """`seen` beats when `picture` changed, `reported` when `proxies` did."""
        self._connection = connection
        self._subjects = subjects
        self._name = name
        self._epoch = epoch
        self._leader = leader
        self._picture = picture
        self._seen = seen
        self._publisher = publisher
        self._proxies = proxies
        self._reported = reported
        self._commits = asyncio.Lock()
        # The last commit, if the picture did not show it in time: until it does, all that is
        # planned on the picture is refused by the store.
        self._unseen: Answer | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._subscriptions: list[Subscription] = []

    async def open(self) -> None:
        """Serves from now on."""
        for subject, handle in (
            (self._subjects.api_policy("apply"), self._serve(ApplyRequest, self._apply)),
            (self._subjects.api_policy("delete"), self._serve(DeleteRequest, self._delete)),
            (self._subjects.api_policy("get"), self._serve(GetRequest, self._get)),
            (self._subjects.api_policy("list"), self._serve(GetRequest, self._get)),
            (self._subjects.api_mesh("status"), self._serve(MeshRequest, self._status)),
        ):
            self._subscriptions.append(await self._connection.subscribe(subject, handle))

    async def close(self) -> None:
        """Serves nobody any more; who is being served gets no answer and asks the next leader."""
        for subscription in self._subscriptions:
            await self._connection.unsubscribe(subscription)
        for task in self._tasks:
            task.cancel()

    def _serve(
        self, expected: type[RequestT], answer: Callable[[RequestT, str], Awaitable[None]]
    ) -> Callable[[Message], Awaitable[None]]:
        async def handle(message: Message) -> None:
            if not self._leader.leading:
                return  # e.g. frozen, and overtaken: the one that leads answers
            try:
                request = codec.decode(expected, message.data)
            except Undecodable as error:
                await self._send(message.reply, refusal("", "bad-request", str(error)))
                return
            if len(self._tasks) >= MAX_REQUESTS:
                sentence = f"{MAX_REQUESTS} requests are being served: try again"
                await self._send(message.reply, refusal(request.id, "busy", sentence))
                return
            task = asyncio.create_task(self._guard(request, message.reply, answer))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

        return handle

    async def _guard(
        self,
        request: RequestT,
        reply: str,
        answer: Callable[[RequestT, str], Awaitable[None]],
    ) -> None:
        try:
            await answer(request, reply)
        except (Fenced, Conflict) as error:
            await self._send(reply, refusal(request.id, "not-leading", f"{error}: try again"))
        except NoAnswer as error:
            sentence = f"{error}: try again with the same id"
            await self._send(reply, refusal(request.id, "unknown-outcome", sentence))
        except (NobodyListens, NotConnected) as error:
            await self._send(reply, refusal(request.id, "unavailable", f"{error}: try again"))
        except BusError as error:
            await self._send(reply, refusal(request.id, "store-refused", str(error)))
        except Exception as error:
            log.exception("a request failed: id=%s", request.id)
            sentence = f"the evaluator failed at this request: {error!r}; see {logs.where()}"
            await self._send(reply, refusal(request.id, "internal", sentence))

    # Changing.

    async def _apply(self, request: ApplyRequest, reply: str) -> None:
        await self._change(request, reply, request.dry_run, request.wait_seconds)

    async def _delete(self, request: DeleteRequest, reply: str) -> None:
        await self._change(request, reply, False, request.wait_seconds)

    async def _change(
        self, request: ApplyRequest | DeleteRequest, reply: str, dry_run: bool, seconds: float
    ) -> None:
        deadline = _now() + seconds
        async with self._commits:
            answer = await self._commit(request, dry_run)
        if not answer.ok or answer.revision is None or dry_run or not _changed(answer):
            await self._send(reply, answer)
            return
        try:
            async with asyncio.timeout(SEEN_SECONDS):
                changed = await self._publisher.published(answer.revision.number)
        except TimeoutError:
            await self._send(reply, _with_problem(answer, _NOT_PUBLISHED))
            return
        wait = Wait(answer, changed if seconds else {}, self._epoch, deadline, seconds)
        await self._until_done(wait, reply)

    async def _until_done(self, wait: Wait, reply: str) -> None:
        while True:
            answer = wait.next_answer(self._proxies, _now())
            if answer is not None:
                await self._send(reply, answer)
                if answer.done:
                    return
            await self._reported.wait(min(REPEAT_EVERY, max(0.0, wait.deadline - _now())))

    async def _commit(self, request: ApplyRequest | DeleteRequest, dry_run: bool) -> Answer:
        if (known := self._answered(request.id)) is not None:
            return known
        picture = self._picture
        checked = await asyncio.to_thread(_check, request, picture.world, picture.position + 1)
        if checked.refused:
            return Answer(id=request.id, ok=False, problems=list(checked.problems))
        revision = picture.revision
        if checked.changes and not dry_run:
            author = Author(request.id, self._name, time.time())
            changes = commit_of(picture, checked.changes, checked.lines, checked.problems, author)
            revision = await self._store(request.id, changes)
        answer = Answer(
            id=request.id,
            ok=True,
            problems=list(checked.problems),
            revision=Revision(epoch=self._epoch, number=revision),
            changes=list(checked.lines),
        )
        if revision > picture.revision:
            self._unseen = answer
        return answer

    async def _store(self, request: str, changes: list[Change]) -> int:
        """Commits; returns the revision, once the own picture shows it if that is soon.

        Raises `NoAnswer` when nobody can tell whether it is stored.
        """
        try:
            revision = (await self._leader.commit(changes)).revision
        except NoAnswer:
            # It may be stored all the same. Then the picture will show it.
            if not await self._seen_soon(lambda: self._picture.answered(request) is not None):
                raise
            _, revision = self._picture.answered(request) or (None, 0)
            return revision
        await self._seen_soon(lambda: self._picture.revision >= revision)
        return revision

    async def _seen_soon(self, condition: Callable[[], bool]) -> bool:
        with suppress(TimeoutError):
            async with asyncio.timeout(SEEN_SECONDS):
                await self._seen.until(condition)
                return True
        return False

    def _answered(self, request: str) -> Answer | None:
        known = self._picture.answered(request)
        if known is None:
            return self._unseen if self._unseen and self._unseen.id == request else None
        record, revision = known
        return Answer(
            id=request,
            ok=True,
            problems=list(record.problems),
            revision=Revision(epoch=self._epoch, number=revision),
            changes=list(record.lines),
        )

    # Reading.

    async def _get(self, request: GetRequest, reply: str) -> None:
        answer = PoliciesAnswer(
            id=request.id,
            ok=True,
            revision=Revision(epoch=self._epoch, number=self._picture.revision),
            problems=[_warning(sentence) for sentence in self._picture.unreadable],
            policies=select(self._picture.world, request),
        )
        await self._send(reply, answer)

    async def _status(self, request: MeshRequest, reply: str) -> None:
        revision = self._publisher.revision
        answer = StatusAnswer(
            id=request.id,
            ok=True,
            revision=Revision(epoch=self._epoch, number=revision),
            problems=[_warning(sentence) for sentence in self._picture.unreadable],
            leader=self._name,
            proxies=self._proxies.reports(self._newest(), self._epoch, _now()),
        )
        await self._send(reply, answer)

    def _newest(self) -> dict[str, int]:
        """What a current proxy has of the keys that it holds; none: nothing is published yet."""
        return self._publisher.newest if self._publisher.revision else {}

    async def _send(self, reply: str, answer: Answer) -> None:
        if not reply:
            return
        try:
            await self._connection.publish(reply, codec.encode(answer))
        except BusError as error:
            log.warning("an answer was not sent: id=%s error=%s", answer.id, error)


_NOT_PUBLISHED = ProblemRecord(
    code="not-published-yet",
    severity="warning",
    message="committed, and not published to proxies yet; see `tulle status`",
)


def _check(request: ApplyRequest | DeleteRequest, world: World, revision: int) -> Checked:
    if isinstance(request, ApplyRequest):
        return check_apply(request, world, revision)
    return check_delete(request, world)


def _changed(answer: Answer) -> bool:
    return not all(line.startswith(UNCHANGED) for line in answer.changes)


def _with_problem(answer: Answer, problem: ProblemRecord) -> Answer:
    return answer.model_copy(update={"problems": [*answer.problems, problem]})


def _warning(sentence: str) -> ProblemRecord:
    return ProblemRecord(code="unreadable", severity="warning", message=sentence)


def _now() -> float:
    return asyncio.get_running_loop().time()
