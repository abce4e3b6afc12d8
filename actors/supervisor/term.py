"""One term of leadership: from reading all records to being deposed. The supervisor's whole work.

Made by `actor.py` when it is elected; nothing in here outlives the term, so that a new leader
decides on what the store says and on nothing else.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from tulle.actors.claim import Claim
from tulle.actors.leadership import Leader
from tulle.actors.recent import RecentChanges
from tulle.actors.supervisor.context import Context
from tulle.actors.supervisor.credentials import Credentials
from tulle.actors.supervisor.launcher import Launcher
from tulle.actors.supervisor.ledger import Ledger
from tulle.actors.supervisor.machine import (
    Connected,
    Disconnected,
    Event,
    Leased,
    Leaves,
    Reported,
    Ticked,
)
from tulle.actors.supervisor.orphans import Orphans
from tulle.actors.supervisor.pools import Pools
from tulle.actors.supervisor.runners import Runners
from tulle.actors.supervisor.specs import ProxySpecs
from tulle.actors.supervisor.users import Users
from tulle.actors.supervisor.workloads import Workloads
from tulle.bus import codec, keys
from tulle.bus.connection import Connection
from tulle.bus.errors import BusError
from tulle.bus.keeping import CredentialRecord, RunnerRecord
from tulle.bus.messages import (
    DesiredWorkload,
    Heartbeat,
    Lease,
    PoolRecord,
    ProxyStatus,
    ServiceRecord,
)
from tulle.bus.store import Store
from tulle.bus.subjects import Subjects

TICK_SECONDS: Final = 1.0
RepairedBucket = Literal["registry", "credentials"]
"""Of which proxies hold keys; the heartbeat says which of them changed."""

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Buckets:
    """What the supervisor reads and writes; of `policies` only the epoch."""

    registry: Store
    desired: Store
    credentials: Store
    policies: Store


class Term:
    """`run` until deposed; meanwhile the public attributes carry requests out."""

    def __init__(
        self,
        connection: Connection,
        buckets: Buckets,
        leader: Leader,
        launcher: Launcher,
        specs: ProxySpecs,
        users: Users,
    ) -> None:
        self._connection = connection
        self._policies = buckets.policies
        self._recent: dict[RepairedBucket, RecentChanges] = {
            "registry": RecentChanges(),
            "credentials": RecentChanges(),
        }
        self._subjects = Subjects(specs.control.mesh)
        self._name = specs.control.name
        self._leader = leader
        desired = buckets.desired
        self._claims = [
            Claim(store, self._name, lambda: leader.leading)
            for store in (desired, buckets.credentials)
        ]
        write_desired, write_credentials = (claim.commit for claim in self._claims)
        self._context = Context(
            Ledger(
                buckets.registry, ServiceRecord, "service", leader.commit, self._changed("registry")
            ),
            Ledger(desired, DesiredWorkload, "workload", write_desired),
            Ledger(desired, PoolRecord, "pool", write_desired),
            launcher,
            specs,
            users,
        )
        self.services = self._context.services
        self.workloads = Workloads(self._context)
        self.pools = Pools(self._context)
        self.credentials = Credentials(
            Ledger(
                buckets.credentials,
                CredentialRecord,
                "credential",
                write_credentials,
                self._changed("credentials"),
            ),
            self._context.unix_time,
        )
        runners = Ledger(desired, RunnerRecord, "runner", write_desired)
        self.runners = Runners(runners, users, self._context.unix_time)

    @property
    def leads(self) -> bool:
        """Whether it is this replica's to answer, as far as it can know."""
        return self._leader.leading

    async def begin(self) -> None:
        """Claims and reads all records, and takes over what they say. Raises `BusError`."""
        for claim in self._claims:
            await claim.take()
        await self._context.services.load()
        await self._context.workloads.load()
        await self._context.pools.load()
        await self.credentials.load()
        await self.runners.load()
        await self.workloads.recover()
        await self.pools.recover()
        self._context.background.run(Orphans(self._context).end())

    async def run(self) -> None:
        """What happens each second, until cancelled."""
        away = False
        while True:
            before, away = away, not self._leader.reaches_store
            if away != before:
                self.feed(Disconnected() if away else Connected())
            self.feed(Ticked())
            if not away:
                self._context.reports.proxies.expire(self._context.clock())
            await self._beat()
            await asyncio.sleep(TICK_SECONDS)

    async def end(self) -> None:
        """Ends all that is under way."""
        await self._context.background.stop()

    def feed(self, event: Event) -> None:
        """Something happened to the supervisor itself."""
        self.workloads.feed(event)

    def leased(self, namespace: str, account: str, lease: Lease) -> bool:
        """lease.<ns>.<account>.<workload> came; whether that is a workload of this account."""
        if self.workloads.owner(lease.workload) != (namespace, account):
            return False
        self.feed(Leased(lease.workload, lease.state))
        return True

    def reported(self, status: ProxyStatus) -> None:
        """status.proxy.<id> came."""
        self._context.reports.proxies.heard(status, self._context.clock())
        self._context.reports.notify()
        if status.role == "sidecar":
            # It drains when it was told to by its `tulle run`, or has lost it: it ends.
            leaves = status.state == "draining"
            self.feed(Leaves(status.id) if leaves else Reported(status.id))

    def _changed(self, bucket: RepairedBucket) -> Callable[[str, int], None]:
        recent = self._recent[bucket]
        return lambda key, revision: recent.add({key: revision}, self._context.clock())

    async def _beat(self) -> None:
        try:
            epoch = await self._read_epoch()  # each time: evaluators make a new one
            for bucket, recent in self._recent.items() if epoch else ():
                beat = Heartbeat(
                    bucket=bucket,
                    epoch=epoch,
                    leader=self._name,
                    changed=recent.newest(self._context.clock()),
                )
                await self._connection.publish(self._subjects.heartbeat(), codec.encode(beat))
        except BusError as error:
            _LOG.warning("no heartbeat: %s", error)

    async def _read_epoch(self) -> str:
        """The mesh's epoch, which the evaluator makes; empty until it has."""
        entry = await self._policies.get(keys.EPOCH)
        return entry.value.decode() if entry is not None else ""
