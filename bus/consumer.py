"""An ordered JetStream consumer that mends itself: the live half of a watch on a bucket.

The server pushes to a subject of our own inbox. Whenever anything is amiss (the link broke, a
message is missing, no heartbeat came) the consumer is made anew behind the last message that was
delivered. A bucket has history 1, so what a later start gives is what is newest of each key.
"""

import asyncio
import logging
import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, Protocol

import orjson

from tulle.bus.connection import Connection
from tulle.bus.errors import BusError, Forbidden, StoreRefused, StoreReplaced
from tulle.bus.subscription import Interest, Message
from tulle.bus.tasks import end_task

HEARTBEAT_SECONDS: Final = 5
SILENCE_SECONDS: Final = 3.0 * HEARTBEAT_SECONDS
INACTIVE_SECONDS: Final = 60
"""The server forgets a consumer that nobody has listened to for so long."""

REQUEST_SECONDS: Final = 5.0
RETRY_SECONDS: Final = 0.5
_LOG = logging.getLogger(__name__)


class Target(Protocol):
    """Who is told how it goes."""

    def complete(self) -> None:
        """All that was there has been delivered; may be said again."""

    def fail(self, error: Exception) -> None:
        """There will be no more."""


class Consumer:
    """Delivers the messages of `stream` on `subjects`, in order, each at most once.

    `deliver` gets a message and its sequence. A context manager: runs while it is open.
    """

    def __init__(
        self,
        connection: Connection,
        stream: str,
        subjects: Sequence[str],
        deliver: Callable[[Message, int], None],
        target: Target,
    ) -> None:
        self._connection = connection
        self._stream = stream
        self._subjects = list(subjects)
        self._deliver = deliver
        self._target = target
        self._name = ""
        self._interest = Interest("", self._take)
        self._created = ""  # when the stream was made: another value, another stream
        self._position = 0  # stream sequence of the last message delivered
        self._count = 0  # messages of this consumer so far
        self._heard = 0.0
        self._broken = False
        self._flow_reply = ""
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "Consumer":
        self._connection.on_reconnect(self._break)
        self._task = asyncio.create_task(self._run(), name=f"watch of {self._stream}")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._connection.forget_reconnect(self._break)
        if self._task is not None:
            await end_task(self._task)
        await self._remove()

    async def _run(self) -> None:
        failures = 0
        while True:
            try:
                await self._make()
                failures = 0
                await self._until_broken()
            except (Forbidden, StoreReplaced) as error:
                self._target.fail(error)
                return
            except BusError as error:
                failures += 1
                if failures.bit_count() == 1:  # 1, 2, 4, 8, ...: an outage has few lines
                    _LOG.warning("watch waits: stream=%s error=%s", self._stream, error)
                await asyncio.sleep(RETRY_SECONDS)
            except Exception as error:
                self._target.fail(error)
                raise
            await self._remove()

    async def _make(self) -> None:
        """Makes the consumer, listening first."""
        await self._check_same_stream()
        self._name = secrets.token_hex(8)
        self._count = 0
        self._broken = False
        self._interest = Interest(self._connection.new_inbox(), self._take)
        self._heard = asyncio.get_running_loop().time()
        await self._connection.attach(self._interest)
        body: dict[str, object] = {"stream_name": self._stream, "config": self._configuration()}
        created = await self._ask(f"CONSUMER.CREATE.{self._stream}.{self._name}", body)
        if created.get("num_pending") == 0 and self._count == 0:
            self._target.complete()

    async def _check_same_stream(self) -> None:
        """A stream that was deleted and made again starts at 1: no position holds for it."""
        created = str((await self._ask(f"STREAM.INFO.{self._stream}", {}))["created"])
        if self._created and created != self._created:
            raise StoreReplaced(self._stream)
        self._created = created

    async def _until_broken(self) -> None:
        """Returns when this consumer is to be replaced; answers flow control meanwhile."""
        now = asyncio.get_running_loop().time
        while not self._broken and now() - self._heard < SILENCE_SECONDS:
            with suppress(TimeoutError):
                async with asyncio.timeout(HEARTBEAT_SECONDS):
                    await self._wake.wait()
            self._wake.clear()
            if self._flow_reply:
                reply, self._flow_reply = self._flow_reply, ""
                await self._connection.publish(reply)

    async def _remove(self) -> None:
        """Ends this consumer as well as may be; the server forgets it otherwise."""
        await self._connection.detach(self._interest)
        name, self._name = self._name, ""
        if name:
            with suppress(BusError):
                await self._connection.publish(f"$JS.API.CONSUMER.DELETE.{self._stream}.{name}")

    def _configuration(self) -> dict[str, object]:
        configuration: dict[str, object] = {
            "name": self._name,
            "deliver_subject": self._interest.subject,
            "filter_subjects": self._subjects,
            "deliver_policy": "last_per_subject",
            "ack_policy": "none",
            "max_deliver": 1,
            "mem_storage": True,
            "num_replicas": 1,
            "flow_control": True,
            "idle_heartbeat": HEARTBEAT_SECONDS * 10**9,
            "inactive_threshold": INACTIVE_SECONDS * 10**9,
        }
        if self._position:
            configuration["deliver_policy"] = "by_start_sequence"
            configuration["opt_start_seq"] = self._position + 1
        return configuration

    async def _ask(self, verb: str, body: dict[str, object]) -> dict[str, object]:
        subject = f"$JS.API.{verb}"
        answer = await self._connection.request(subject, orjson.dumps(body), REQUEST_SECONDS)
        fields: dict[str, object] = orjson.loads(answer.data)
        if isinstance(error := fields.get("error"), dict):
            raise StoreRefused(subject, int(error.get("err_code", 0)), str(error["description"]))
        return fields

    def _break(self) -> None:
        self._broken = True
        self._wake.set()

    def _take(self, message: Message) -> None:
        """A message of the stream, a heartbeat or a flow control request."""
        self._heard = asyncio.get_running_loop().time()
        if message.headers.get("Status") == "100" and not message.data:
            self._take_control(message)
            return
        consumer, sequence, count, pending = _position(message.reply)
        if consumer != self._name or self._broken:
            return
        if count != self._count + 1:
            self._break()
            return
        self._count = count
        self._position = sequence
        self._deliver(message, sequence)
        if pending == 0:
            self._target.complete()

    def _take_control(self, message: Message) -> None:
        last = message.headers.get("Nats-Last-Consumer")
        if last is not None and int(last) != self._count:
            self._break()  # the last messages were lost, and nothing came after them
        self._flow_reply = message.reply or message.headers.get("Nats-Consumer-Stalled", "")
        if self._flow_reply:
            self._wake.set()


def _position(reply: str) -> tuple[str, int, int, int]:
    """Consumer, stream sequence, consumer sequence and messages pending, from a reply subject.

    `$JS.ACK.<stream>.<consumer>.<deliveries>.<stream seq>.<consumer seq>.<time>.<pending>`; since
    nats-server 2.12 it may have `<domain>.<account>` before the stream and more at its end.
    """
    tokens = reply.split(".")
    fields = tokens[2:9] if len(tokens) == 9 else tokens[4:11]
    _, consumer, _, sequence, count, _, pending = fields
    return consumer, int(sequence), int(count), int(pending)
