"""A `Store` on a JetStream key-value bucket. Its promises are in `store.py`.

The bucket is an ordinary NATS KV bucket (any KV client reads it) with history 1, direct gets,
atomic batches and, but for `desired`, republishing to `event.<bucket>.>` (`events.py`). What is
sent is plain JetStream API, so that `permissions.py` can say exactly who may do what: `get` needs
the right for one key, all else is for the control plane.
"""

import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import replace
from typing import Final

import orjson

from tulle.bus.conflate import Conflated
from tulle.bus.connection import Connection
from tulle.bus.consumer import Consumer
from tulle.bus.errors import Conflict, Fenced, StoreRefused, TooManyChanges
from tulle.bus.events import OPERATION, operation_of
from tulle.bus.store import (
    MAX_BATCH,
    Change,
    Committed,
    Entry,
    Fence,
    Operation,
    Watch,
    check_size,
)
from tulle.bus.subjects import Bucket, Subjects
from tulle.bus.subscription import Message

SECONDS: Final = 5.0
"""How long a read or write may take before it is `NoAnswer`."""

PAGE: Final = 500
EXPECTED: Final = "Nats-Expected-Last-Subject-Sequence"
_REPUBLISHED: Final = (Bucket.POLICIES, Bucket.CONFIG, Bucket.REGISTRY, Bucket.CREDENTIALS)
_WRONG_SEQUENCE: Final = (10071, 10164)


async def open_store(
    connection: Connection, subjects: Subjects, bucket: Bucket
) -> "JetStreamStore":
    """The bucket, made when it does not exist. Raises `Forbidden`, `StoreRefused`, `NoAnswer`.

    Only the role that writes a bucket may make it: evaluator (policies, config), supervisor
    (registry, desired, credentials).
    """
    subject = f"$JS.API.STREAM.CREATE.{subjects.stream(bucket)}"
    configuration = orjson.dumps(_configuration(subjects, bucket))
    answer = await connection.request(subject, configuration, SECONDS)
    _body(subject, answer)
    return JetStreamStore(connection, subjects, bucket)


def existing_store(connection: Connection, subjects: Subjects, bucket: Bucket) -> "JetStreamStore":
    """The bucket for those who don't make it. Until it exists, reads raise `NobodyListens` and a
    watch waits. A proxy may only `get`, its own keys."""
    return JetStreamStore(connection, subjects, bucket)


class JetStreamStore:
    """One bucket; made by `open_store` and `existing_store`."""

    def __init__(self, connection: Connection, subjects: Subjects, bucket: Bucket) -> None:
        self._connection = connection
        self._stream = subjects.stream(bucket)
        self._root = subjects.value(bucket, "")

    async def get(self, key: str) -> Entry | None:
        subject = f"$JS.API.DIRECT.GET.{self._stream}.{self._root}{key}"
        answer = await self._connection.request(subject, timeout=SECONDS)
        if answer.headers.get("Status") == "404":
            return None
        return self._entry(subject, answer)

    async def get_all(self, prefix: str = "") -> list[Entry]:
        found: dict[str, Entry] = {}
        for pattern in (prefix, f"{prefix}.>") if prefix else (">",):
            async for entry in self._pages(pattern):
                found[entry.key] = entry  # one that changed meanwhile comes again, newer
        return [entry for _, entry in sorted(found.items()) if entry.operation is Operation.PUT]

    async def put_if(self, key: str, value: bytes, revision: int) -> int:
        try:
            return await self._put(key, value, revision)
        except _WrongSequence:
            now = await self.get(key)
        if revision == 0 and now is not None and now.operation is Operation.DELETE:
            with suppress(_WrongSequence):
                return await self._put(key, value, now.revision)
        raise Conflict(key, revision)

    async def put_all(self, changes: Sequence[Change], fence: Fence | None = None) -> Committed:
        count = check_size(changes, fence)
        if count > MAX_BATCH:
            raise TooManyChanges(count, MAX_BATCH)
        batch = [Change(fence.key, fence.value, expected=fence.expected)] if fence else []
        batch += changes
        try:
            last = await self._commit(batch)
        except _WrongSequence:
            last = await self._commit_again(batch, fence)
        return Committed(last, last - count + 1 if fence else 0)

    @asynccontextmanager
    async def watch(self, prefix: str = "") -> AsyncIterator[Watch]:
        patterns = [prefix, f"{prefix}.>"] if prefix else [">"]
        changes = Conflated()
        consumer = Consumer(
            self._connection,
            self._stream,
            [f"{self._root}{pattern}" for pattern in patterns],
            lambda message, sequence: changes.put(self._watched(message, sequence)),
            changes,
        )
        async with consumer:
            yield changes

    async def _pages(self, pattern: str) -> AsyncIterator[Entry]:
        """Entries whose key matches `pattern`, in the order of revisions."""
        subject = f"$JS.API.DIRECT.GET.{self._stream}"
        start: int | None = 1
        while start is not None:
            page = {"seq": start, "next_by_subj": f"{self._root}{pattern}", "batch": PAGE}
            start = None
            answers = self._connection.request_many(
                subject, orjson.dumps(page), SECONDS, done=lambda answer: "Status" in answer.headers
            )
            async with aclosing(answers):
                async for answer in answers:
                    if "Status" not in answer.headers:
                        yield self._entry(subject, answer)
                    elif answer.headers["Status"] == "204" and _more(answer):
                        start = int(answer.headers["Nats-Last-Sequence"]) + 1

    async def _put(self, key: str, value: bytes, revision: int) -> int:
        subject = f"{self._root}{key}"
        headers = {EXPECTED: str(revision)}
        answer = await self._connection.request(subject, value, SECONDS, headers=headers)
        return int(_body(subject, answer)["seq"])

    async def _commit(self, batch: Sequence[Change]) -> int:
        """One atomic batch; only its last message is answered. Returns that one's revision."""
        identity = secrets.token_hex(8)
        for number, change in enumerate(batch[:-1], start=1):
            headers = _headers(change) | _batch_headers(identity, number)
            await self._connection.publish(
                f"{self._root}{change.key}", change.value, headers=headers
            )
        last = batch[-1]
        headers = _headers(last) | _batch_headers(identity, len(batch)) | {"Nats-Batch-Commit": "1"}
        subject = f"{self._root}{last.key}"
        answer = await self._connection.request(subject, last.value, SECONDS, headers=headers)
        return int(_body(subject, answer)["seq"])

    async def _commit_again(self, batch: Sequence[Change], fence: Fence | None) -> int:
        """After a refusal: says which expectation failed, unless all that did were of deleted keys.

        To JetStream a deleted key has a revision; to `Change` it has no value, so expects 0.
        """
        meant = []
        for change in batch:
            now = await self.get(change.key) if change.expected is not None else None
            if now is None or now.revision == change.expected:
                if now is None and change.expected:
                    raise _refusal(change, fence)
                meant.append(change)
            elif change.expected == 0 and now.operation is Operation.DELETE:
                meant.append(replace(change, expected=now.revision))
            else:
                raise _refusal(change, fence)
        try:
            return await self._commit(meant)
        except _WrongSequence as wrong:
            raise StoreRefused(self._root, wrong.code, wrong.description) from None

    def _entry(self, subject: str, answer: Message) -> Entry:
        """The entry in an answer to a direct get."""
        if "Nats-Subject" not in answer.headers:
            status = answer.headers.get("Status", "0")
            description = answer.headers.get("Description", "not a direct get's answer")
            raise StoreRefused(subject, int(status), description)
        stored = replace(answer, subject=answer.headers["Nats-Subject"])
        return self._watched(stored, int(answer.headers["Nats-Sequence"]))

    def _watched(self, message: Message, sequence: int) -> Entry:
        operation = operation_of(message)
        value = message.data if operation is Operation.PUT else b""
        return Entry(message.subject.removeprefix(self._root), value, sequence, operation)


class _WrongSequence(StoreRefused):
    """An expected revision was not met; which one, JetStream does not say."""


def _body(subject: str, answer: Message) -> dict[str, int]:
    """The body of a JetStream answer. Raises `StoreRefused` when it is an error."""
    body = orjson.loads(answer.data)
    error = body.get("error")
    if error is None:
        return dict(body)
    code = error.get("err_code", error.get("code", 0))
    kind = _WrongSequence if code in _WRONG_SEQUENCE else StoreRefused
    raise kind(subject, code, error.get("description", ""))


def _headers(change: Change) -> dict[str, str]:
    headers = {} if change.operation is Operation.PUT else {OPERATION: "DEL"}
    if change.expected is not None:
        headers[EXPECTED] = str(change.expected)
    return headers


def _batch_headers(identity: str, number: int) -> dict[str, str]:
    return {"Nats-Batch-Id": identity, "Nats-Batch-Sequence": str(number)}


def _refusal(change: Change, fence: Fence | None) -> Conflict | Fenced:
    assert change.expected is not None
    kind = Fenced if fence is not None and change.key == fence.key else Conflict
    return kind(change.key, change.expected)


def _more(end_of_page: Message) -> bool:
    return int(end_of_page.headers.get("Nats-Num-Pending", "0")) > 0


def _configuration(subjects: Subjects, bucket: Bucket) -> dict[str, object]:
    """A KV bucket's stream. No TTL: a restart would find all older keys gone."""
    everything = subjects.value(bucket, ">")
    configuration: dict[str, object] = {
        "name": subjects.stream(bucket),
        "subjects": [everything],
        "retention": "limits",
        "storage": "file",
        "num_replicas": 1,
        "max_msgs_per_subject": 1,
        "discard": "new",
        "deny_delete": True,
        "allow_rollup_hdrs": True,
        "allow_direct": True,
        "allow_atomic": True,
    }
    if bucket in _REPUBLISHED:
        configuration["republish"] = {"src": everything, "dest": subjects.event_all(bucket)}
    return configuration
