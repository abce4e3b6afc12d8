"""One life of an evaluator, from an empty picture to the error that ends it.

Follows the watches of `policies` and `registry` and the proxies' statuses all the time, and while
it is elected serves the API, publishes config and sends heartbeats. What is decided is decided in
`picture`, `commit`, `published`, `proxies` and `waits`; here it is carried out.
"""

import asyncio
import logging
import secrets
from dataclasses import dataclass, field
from typing import Protocol

from tulle.actors.control import ControlSpec
from tulle.actors.evaluator.api import PolicyApi
from tulle.actors.evaluator.picture import Picture
from tulle.actors.evaluator.proxies import ProxyTable
from tulle.actors.evaluator.publisher import Publisher
from tulle.actors.evaluator.pulse import Pulse
from tulle.actors.leadership import Leader, Timing
from tulle.actors.terms import Terms
from tulle.bus import codec, keys
from tulle.bus.connection import Connection
from tulle.bus.errors import BusError, Undecodable
from tulle.bus.jetstream import existing_store, open_store
from tulle.bus.messages import Heartbeat, ProxyStatus
from tulle.bus.store import Entry, Ready, Store
from tulle.bus.store import epoch as epoch_of
from tulle.bus.subjects import Bucket, Subjects
from tulle.bus.subscription import Message
from tulle.policies.world import Settings

HEARTBEAT_SECONDS = 1.0
ENTRIES_PER_SLICE = 20
"""Entries read before others get their turn: a document takes some 0.2 ms."""

log = logging.getLogger(__name__)


class Say(Protocol):
    """Told of each change: whether the replica follows the store, whether it serves the API."""

    def __call__(self, *, following: bool, serving: bool) -> None: ...


@dataclass(slots=True)
class Following:
    """What a replica follows: complete once both watches have given all that was there."""

    picture: Picture
    proxies: ProxyTable
    seen: Pulse = field(default_factory=Pulse)
    reported: Pulse = field(default_factory=Pulse)
    ready: set[Bucket] = field(default_factory=set)

    @property
    def complete(self) -> bool:
        """Whether the picture may be compiled: without the services it would empty the mesh."""
        return self.ready == {Bucket.POLICIES, Bucket.REGISTRY}


class EvaluatorLife:
    """`live` until an error ends it; made anew for the next life."""

    def __init__(
        self,
        spec: ControlSpec,
        subjects: Subjects,
        connection: Connection,
        timing: Timing | None,
        say: Say,
        proxies: ProxyTable,
    ) -> None:
        self._spec = spec
        self._subjects = subjects
        self._connection = connection
        self._timing = timing
        self._say = say
        self._follow = Following(Picture(Settings(trust_domain=spec.trust_domain)), proxies)
        self._epoch = ""
        self._publisher: Publisher | None = None
        self._leader: Leader | None = None
        self._beats: set[asyncio.Task[None]] = set()
        self._handing_over: asyncio.Handle | None = None

    async def live(self) -> None:
        """Raises `ServerChanged`, `StoreReplaced` or another `BusError`, also in a group."""
        policies = await open_store(self._connection, self._subjects, Bucket.POLICIES)
        config = await open_store(self._connection, self._subjects, Bucket.CONFIG)
        registry = existing_store(self._connection, self._subjects, Bucket.REGISTRY)
        self._epoch = await epoch_of(policies, secrets.token_hex(8), self._connection.server)
        await self._connection.subscribe(self._subjects.status_all, self._on_status)
        terms = Terms(self._spec.name)
        leader = Leader(policies, self._spec.name, on_change=terms.on_change, timing=self._timing)
        self._leader = leader
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._connection.until_another_start())
            tasks.create_task(self._watch(Bucket.POLICIES, policies))
            tasks.create_task(self._watch(Bucket.REGISTRY, registry))
            tasks.create_task(leader.run())
            tasks.create_task(terms.run(lambda: self._lead(policies, config, leader)))
            tasks.create_task(self._beat(leader))

    async def resign(self) -> None:
        """It leads no more, and another replica may at once."""
        if self._leader is not None:
            await self._leader.resign()

    # Following.

    async def _watch(self, bucket: Bucket, store: Store) -> None:
        follow = self._follow
        take = follow.picture.on_policies if bucket is Bucket.POLICIES else self._on_registry
        count = 0
        async with store.watch() as changes:
            async for change in changes:
                if (count := count + 1) % ENTRIES_PER_SLICE == 0:
                    await asyncio.sleep(0)
                if isinstance(change, Ready):
                    follow.picture.flush()
                    follow.ready.add(bucket)
                    if Bucket.POLICIES in follow.ready:
                        self._say(following=True, serving=self._publisher is not None)
                else:
                    take(change)
                self._hand_over_soon()
                follow.seen.beat()

    def _on_registry(self, entry: Entry) -> None:
        if (service := self._follow.picture.on_registry(entry)) is not None:
            self._follow.proxies.on_service(service, _now())

    def _hand_over_soon(self) -> None:
        """Once for all entries that arrived together."""
        if self._handing_over is None:
            self._handing_over = asyncio.get_running_loop().call_soon(self._hand_over)

    def _hand_over(self) -> None:
        """The leader's publisher gets the newest world."""
        self._handing_over = None
        if self._publisher is not None and self._follow.complete:
            picture = self._follow.picture
            self._publisher.publish(picture.world, picture.revision)

    async def _on_status(self, message: Message) -> None:
        try:
            status = codec.decode(ProxyStatus, message.data)
        except Undecodable as error:
            log.warning("a status can't be read: subject=%s error=%s", message.subject, error)
            return
        if self._subjects.parse(message.subject).parts != (status.id,):
            log.warning("a status of another proxy: subject=%s id=%s", message.subject, status.id)
            return
        self._follow.proxies.on_status(status, _now())
        self._follow.reported.beat()

    # Leading.

    async def _lead(self, policies: Store, config: Store, leader: Leader) -> None:
        own = await policies.get(keys.LEADER)
        # The watch has shown all that predecessors committed once it shows our election.
        follow = self._follow
        await follow.seen.until(lambda: own is None or follow.picture.position >= own.revision)
        publisher = Publisher(
            config, self._spec.name, self._send_heartbeat_soon, leading=lambda: leader.leading
        )
        api = PolicyApi(
            self._connection,
            self._subjects,
            name=self._spec.name,
            epoch=self._epoch,
            leader=leader,
            picture=follow.picture,
            seen=follow.seen,
            publisher=publisher,
            proxies=follow.proxies,
            reported=follow.reported,
        )
        try:
            self._publisher = publisher
            self._hand_over()
            await api.open()
            self._say(following=True, serving=True)
            await publisher.run()
        finally:
            self._publisher = None
            self._say(following=True, serving=False)
            await api.close()

    # The heartbeat.

    async def _beat(self, leader: Leader) -> None:
        away = False
        while True:
            before, away = away, not leader.reaches_store
            if before and not away:
                self._follow.proxies.on_return(_now())
            if not away:
                self._follow.proxies.on_time(_now())
            self._follow.reported.beat()
            await self._send_heartbeat()
            await asyncio.sleep(HEARTBEAT_SECONDS)

    def _send_heartbeat_soon(self) -> None:
        task = asyncio.create_task(self._send_heartbeat())
        self._beats.add(task)
        task.add_done_callback(self._beats.discard)

    async def _send_heartbeat(self) -> None:
        publisher = self._publisher
        if publisher is None or not publisher.revision:
            return
        heartbeat = Heartbeat(
            bucket="config",
            epoch=self._epoch,
            leader=self._spec.name,
            revision=publisher.revision,
            changed=publisher.recent.newest(_now()),
        )
        try:
            await self._connection.publish(self._subjects.heartbeat(), codec.encode(heartbeat))
        except BusError as error:
            log.warning("no heartbeat: error=%s", error)


def _now() -> float:
    return asyncio.get_running_loop().time()
