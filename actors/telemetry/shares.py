"""Which shards this collector has: takes those that are its share, gives up those that are not.

The members of pool `collectors` are read from the store now and then, and when another collector
says that something changed. A shard that is another's is kept until that one asks for it, so that
it is at nobody for milliseconds only: what proxies say meanwhile they say again (absolute values),
and last words are repeated until somebody has saved them.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tulle.actors.telemetry.shard import Shard
from tulle.actors.telemetry.shards import share_of
from tulle.bus import codec, keys
from tulle.bus.connection import Connection
from tulle.bus.errors import BusError, Undecodable
from tulle.bus.jetstream import existing_store
from tulle.bus.messages import PoolRecord, TelemetryBatch
from tulle.bus.permissions import COLLECTORS
from tulle.bus.subjects import Bucket, Subjects
from tulle.bus.subscription import Message, Subscription

FIRST: Final = "collector-1"
"""The member of a new mesh, which is never ended: it answers `/metrics`."""
LOOK_SECONDS: Final = 2.0
AGAIN_SECONDS: Final = 0.1
WAITING_LIMIT: Final = 1_000  # proxies of a shard that end at once
LOOK, GIVE, SUMS, ALL = "look", "give", "sums", "all"

log = logging.getLogger(__name__)


class Shares:
    """`follow` on each connection; `held` outlives it. `member`: the collector's id in its pool.

    `wanted` is called when somebody waits for a save.
    """

    def __init__(
        self, member: str, folder: Path, subjects: Subjects, wanted: Callable[[], None]
    ) -> None:
        self.held: dict[str, Shard] = {}
        self.known = asyncio.Event()  # which shards are its share; what was free of them is here
        self.complete = asyncio.Event()  # all of its share was here once
        self._member = member
        self._folder = folder
        self._subjects = subjects
        self._wanted = wanted
        self._share: frozenset[str] | None = None  # None: not known yet
        self._retired = False
        self._heard: dict[str, list[Subscription]] = {}
        self._giving: set[asyncio.Task[None]] = set()
        self._all_to_look = subjects.collect(LOOK, ALL)
        self._all_to_proxies = subjects.proxy_command("all", "telemetry")
        """Asks for all that proxies counted before we heard them, or while our link was broken."""
        self._unsaid: set[str] = set()
        self._look = asyncio.Event()
        self._turn = asyncio.Lock()  # taking and giving wait for each other

    async def follow(self, connection: Connection) -> None:
        """Until cancelled."""
        self._heard.clear()  # they were of another connection
        self._unsaid = {self._all_to_look, self._all_to_proxies}
        await connection.subscribe(self._all_to_look, self._on_look)
        for shard in list(self.held.values()):
            await self._hear(connection, shard)
        connection.on_reconnect(self._on_reconnect)
        while True:
            self._look.clear()
            async with self._turn:
                complete = await self._settle(connection)
            complete = await self._say(connection) and complete
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS if complete else AGAIN_SECONDS):
                    await self._look.wait()

    async def retire(self, connection: Connection) -> None:
        """Gives up all shards, saved, and takes none any more."""
        async with self._turn:
            self._retired = True
            for name in list(self.held):
                await self._give(connection, name)
        self._unsaid = {self._all_to_look}
        await self._say(connection)

    def let_go(self) -> None:
        """The end: what is not saved is lost."""
        for shard in self.held.values():
            shard.let_go()
        self.held.clear()

    async def _settle(self, connection: Connection) -> bool:
        """Takes what lacks; whether nothing lacks any more."""
        self._share = await self._read_share(connection)
        if self._share is None:
            return False
        taken = []
        for name in sorted(self._share - self.held.keys()):
            if (shard := await self._take(connection, name)) is not None:
                taken.append(name)
                self.held[name] = shard
                await self._hear(connection, shard)
        if taken:
            log.info("has shards: taken=%s held=%s", taken, sorted(self.held))
            self._unsaid.add(self._all_to_proxies)
        self.known.set()
        if complete := self._share <= self.held.keys():
            self.complete.set()
        return complete

    async def _read_share(self, connection: Connection) -> frozenset[str] | None:
        if self._retired:
            return frozenset()
        store = existing_store(connection, self._subjects, Bucket.DESIRED)
        try:
            entry = await store.get(keys.pool(COLLECTORS))
            record = codec.decode(PoolRecord, entry.value) if entry is not None else None
        except (BusError, Undecodable) as error:
            log.warning("its share can't be read: error=%s", error)
            return self._share
        # None: a new mesh, whose supervisor has not come to write it yet.
        members = record.members[: record.replicas] if record is not None else [FIRST]
        return share_of(self._member, members)

    async def _take(self, connection: Connection, name: str) -> Shard | None:
        try:
            if (shard := await asyncio.to_thread(Shard.take, name, self._folder)) is None:
                await connection.publish(self._subjects.collect(GIVE, name))
            return shard
        except (OSError, BusError) as error:
            log.warning("a shard can't be had: shard=%s error=%s", name, error)
            return None

    async def _hear(self, connection: Connection, shard: Shard) -> None:
        async def on_batch(message: Message) -> None:
            self._on_batch(shard, message)

        async def on_give(_: Message) -> None:
            await self._on_give(connection, shard.name)

        async def on_sums(message: Message) -> None:
            await self._on_sums(connection, shard, message)

        subjects = self._subjects
        heard = self._heard.setdefault(shard.name, [])
        for subject, handler in (
            (subjects.telemetry_to(shard.name), on_batch),
            (subjects.collect(GIVE, shard.name), on_give),
            (subjects.collect(SUMS, shard.name), on_sums),
        ):
            heard.append(await connection.subscribe(subject, handler))

    def _on_batch(self, shard: Shard, message: Message) -> None:
        try:
            batch = codec.decode(TelemetryBatch, message.data)
        except Undecodable as error:
            log.warning("telemetry can't be read: subject=%s error=%s", message.subject, error)
            return
        # Permissions guard the subject, so that is whose figures they are.
        if self._subjects.parse(message.subject).parts != (shard.name, batch.proxy):
            log.warning("telemetry of another: subject=%s proxy=%s", message.subject, batch.proxy)
            return
        shard.totals.add(batch)
        if message.reply and len(shard.waiting) < WAITING_LIMIT:
            shard.waiting.append(message.reply)
            self._wanted()

    async def _on_sums(self, connection: Connection, shard: Shard, message: Message) -> None:
        if not message.reply:
            return
        try:
            data = await asyncio.to_thread(codec.encode, shard.totals.summary())
            await connection.publish(message.reply, data)
        except (BusError, ValueError) as error:  # ValueError: more than a message may hold
            log.warning("sums were not told: shard=%s error=%s", shard.name, error)

    async def _on_look(self, _: Message) -> None:
        self._look.set()

    async def _on_give(self, connection: Connection, name: str) -> None:
        # In a task: it ends the very subscription that this is the handler of.
        task = asyncio.create_task(self._give_if_anothers(connection, name))
        self._giving.add(task)
        task.add_done_callback(self._giving.discard)

    async def _give_if_anothers(self, connection: Connection, name: str) -> None:
        async with self._turn:
            self._share = await self._read_share(connection)
            if name in self.held and self._share is not None and name not in self._share:
                await self._give(connection, name)

    async def _give(self, connection: Connection, name: str) -> None:
        shard = self.held[name]
        await self._stop_hearing(connection, name)
        try:
            await self.save(connection, shard)
        except OSError as error:
            log.warning("a shard is kept, it can't be saved: shard=%s error=%s", name, error)
            await self._hear(connection, shard)
            return
        del self.held[name]
        shard.let_go()
        log.info("gave a shard up: shard=%s", name)

    async def save(self, connection: Connection, shard: Shard) -> None:
        """Saves, and says so to those who wait. Raises OSError."""
        for reply in await shard.save():
            with contextlib.suppress(BusError):  # who waits asks again
                await connection.publish(reply)

    async def _stop_hearing(self, connection: Connection, name: str) -> None:
        for subscription in self._heard.pop(name, []):
            await connection.unsubscribe(subscription)

    async def _say(self, connection: Connection) -> bool:
        """What is to be said to others; whether all of it is."""
        for subject in list(self._unsaid):
            try:
                await connection.publish(subject)
                self._unsaid.discard(subject)
            except BusError as error:
                log.warning("not said yet: subject=%s error=%s", subject, error)
        return not self._unsaid

    def _on_reconnect(self) -> None:
        self._unsaid |= {self._all_to_look, self._all_to_proxies}
        self._look.set()
