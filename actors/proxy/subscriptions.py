"""The bus side of a proxy: performs the machine's effects on NATS and tells it what arrives.

Counterpart: `machine.py`, which decides. A key is read only after the server has its subscription.
Nothing in here keeps state of its own beyond what is under way.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Final

from tulle.actors.proxy.events import Changed, Connected, Event, Heard, ReadFailed, Ref, WasRead
from tulle.bus import codec, keys
from tulle.bus.connection import Connection
from tulle.bus.errors import BusError, Undecodable
from tulle.bus.events import parse_event
from tulle.bus.jetstream import existing_store
from tulle.bus.messages import Heartbeat, ProxyStatus
from tulle.bus.store import Operation, Store
from tulle.bus.subjects import Bucket, Subjects
from tulle.bus.subscription import Interest, Message

READS_AT_ONCE: Final = 16
EPOCH_RETRY: Final = 0.5

log = logging.getLogger(__name__)


def _lose_nothing(ref: Ref) -> bool:
    return False


class Subscriptions:
    """`tell` gets the machine's events. `loses(ref)`: tests drop events of `ref` by it."""

    def __init__(
        self,
        connection: Connection,
        subjects: Subjects,
        proxy: str,
        tell: Callable[[Event], None],
        loses: Callable[[Ref], bool] = _lose_nothing,
    ) -> None:
        self._connection = connection
        self._subjects = subjects
        self._proxy = proxy
        self._tell = tell
        self._loses = loses
        self._stores: dict[Bucket, Store] = {
            bucket: existing_store(connection, subjects, bucket)
            for bucket in (Bucket.CONFIG, Bucket.REGISTRY, Bucket.POLICIES, Bucket.CREDENTIALS)
        }
        self._interests: dict[Ref, Interest] = {}
        self._attaching: dict[Ref, asyncio.Task[None]] = {}
        self._reads = asyncio.Semaphore(READS_AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()
        self._connecting: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Hears heartbeats, and tells of this and each later connection."""
        await self._connection.attach(Interest(self._subjects.heartbeat(), self._heard))
        self._connection.on_reconnect(self._connected)
        self._connected()

    async def stop(self) -> None:
        """Tells nothing any more."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def subscribe(self, ref: Ref) -> None:
        """Tells of changes of `ref` from now on."""
        interest = Interest(self._subjects.event(ref.bucket, ref.key), self._changed)
        self._interests[ref] = interest
        self._attaching[ref] = self._run(self._attach(ref, interest))

    def unsubscribe(self, ref: Ref) -> None:
        """Ends that."""
        attaching, interest = self._attaching.pop(ref), self._interests.pop(ref)
        self._run(self._detach(attaching, interest))

    def read(self, ref: Ref, number: int) -> None:
        """Reads `ref`, once it is subscribed; tells `WasRead` or `ReadFailed`."""
        self._run(self._read(ref, number, self._attaching[ref]))

    def send_status(self, status: ProxyStatus) -> None:
        """Publishes it; one that is lost is followed by the next in 2 s."""
        subject = self._subjects.status_proxy(self._proxy)
        self._run(self._publish(subject, codec.encode(status)))

    def _connected(self) -> None:
        if self._connecting is not None:
            self._connecting.cancel()
        self._connecting = self._run(self._tell_connected())

    async def _tell_connected(self) -> None:
        """With the store's epoch. An older one would let new revisions be ignored."""
        while True:
            try:
                entry = await self._stores[Bucket.POLICIES].get(keys.EPOCH)
                if entry is not None:
                    self._tell(Connected(entry.value.decode()))
                    return
            except BusError as error:
                log.info("the mesh's epoch is not there yet: error=%s", error)
            await asyncio.sleep(EPOCH_RETRY)

    async def _attach(self, ref: Ref, interest: Interest) -> None:
        try:
            await self._connection.attach(interest)
        except BusError as error:
            # The heartbeat repairs what this does not hear.
            log.error("not subscribed: key=%s error=%s", ref, error)

    async def _detach(self, attaching: asyncio.Task[None], interest: Interest) -> None:
        await attaching
        await self._connection.detach(interest)

    async def _read(self, ref: Ref, number: int, attaching: asyncio.Task[None]) -> None:
        await asyncio.wait([attaching])
        try:
            async with self._reads:
                entry = await self._stores[ref.bucket].get(ref.key)
        except BusError as error:
            log.info("not read: key=%s error=%s", ref, error)
            self._tell(ReadFailed(ref, number))
            return
        if entry is None:
            self._tell(WasRead(ref, number, None, 0))
            return
        value = entry.value if entry.operation is Operation.PUT else None
        self._tell(WasRead(ref, number, value, entry.revision))

    async def _publish(self, subject: str, data: bytes) -> None:
        try:
            await self._connection.publish(subject, data)
        except BusError as error:
            log.debug("not sent: subject=%s error=%s", subject, error)

    def _changed(self, message: Message) -> None:
        try:
            event = parse_event(self._subjects, message)
        except Undecodable as error:
            log.warning("an event can't be read: %s", error)
            return
        ref = Ref(event.bucket, event.key)
        if not self._loses(ref):
            value = event.value if event.operation is Operation.PUT else None
            self._tell(Changed(ref, value, event.sequence, event.previous_sequence))

    def _heard(self, message: Message) -> None:
        try:
            self._tell(Heard(codec.decode(Heartbeat, message.data)))
        except Undecodable as error:
            log.warning("a heartbeat can't be read: %s", error)

    def _run(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
