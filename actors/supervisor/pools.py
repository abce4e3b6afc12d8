"""Gateway pools: how many members each has, started and drained to be so.

Members that drain stay in the record until they have ended, so that a crash in the middle leaves
nobody behind: `recover` goes on where it was.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable
from typing import Final

from tulle.actors.supervisor.admission import problem
from tulle.actors.supervisor.context import Context
from tulle.actors.supervisor.launcher import LaunchFailed
from tulle.bus import keys
from tulle.bus.errors import BusError
from tulle.bus.messages import Answer, PoolRecord, ProblemRecord, ScaleRequest

SERVE_SECONDS: Final = 30.0
DRAIN_SECONDS: Final = 45.0
"""A gateway drains for 30 s at most; the rest is for its holder and its end."""
AGAIN_SECONDS: Final = 5.0

INGRESS: Final = PoolRecord(
    name="ingress",
    replicas=1,
    labels={"istio": "ingressgateway", "app": "istio-ingressgateway"},
)
"""The pool that a new mesh has."""

_LOG = logging.getLogger(__name__)


def resized(pool: PoolRecord, replicas: int, serves: Callable[[str], bool]) -> PoolRecord:
    """The pool with `replicas` wanted; those who serve come first, so that they stay."""
    members = sorted(pool.members, key=lambda member: not serves(member))
    return pool.model_copy(update={"replicas": replicas, "members": members})


def grown(pool: PoolRecord, suffix: Callable[[], str]) -> PoolRecord:
    """The pool with new members up to `replicas`."""
    members = list(pool.members)
    while len(members) < pool.replicas:
        member = f"{pool.name}-{suffix()}"
        if member not in members:
            members.append(member)
    return pool.model_copy(update={"members": members})


class Pools:
    """All gateway pools of the mesh, for one term of leadership."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def recover(self) -> None:
        """Makes pool `ingress` in a new mesh; brings all pools to their size."""
        if not self._context.pools.all():
            await self._context.pools.change(keys.pool(INGRESS.name), lambda _: INGRESS)
        for pool in self._context.pools.all():
            self._context.background.run(self._settle_at_last(pool.name))

    async def scale(self, request: ScaleRequest) -> Answer:
        """api.mesh.scale: answers when the pool has that many serving members, or why not."""
        if self._context.pools.get(keys.pool(request.pool)) is None:
            names = ", ".join(pool.name for pool in self._context.pools.all()) or "none"
            found = problem("unknown-pool", "pool", f"no pool {request.pool!r}; pools: {names}")
            return Answer(id=request.id, ok=False, problems=[found])
        async with self._turns[request.pool]:
            await self._change(
                request.pool, lambda pool: resized(pool, request.replicas, self._serves)
            )
            problems = await self._settle(request.pool)
        failed = any(found.severity == "error" for found in problems)
        return Answer(id=request.id, ok=not failed, problems=problems)

    async def _settle_at_last(self, name: str) -> None:
        while True:
            try:
                async with self._turns[name]:
                    problems = await self._settle(name)
                if not problems:
                    return
                _LOG.warning("pool %s: %s", name, "; ".join(found.message for found in problems))
            except BusError as error:
                _LOG.warning("pool %s is not settled, to be tried again: %s", name, error)
            await asyncio.sleep(AGAIN_SECONDS)

    async def _settle(self, name: str) -> list[ProblemRecord]:
        """Starts members that lack, waits until all that stay serve, ends the surplus."""
        pool = await self._change(name, lambda pool: grown(pool, self._context.suffix))
        stay, surplus = pool.members[: pool.replicas], pool.members[pool.replicas :]
        started = await asyncio.gather(*(self._launch(pool, member) for member in stay))
        problems = [found for found in started if found is not None]
        if not problems:
            problems = await self._until_served(stay)
        if any(found.severity == "error" for found in problems):
            return problems  # fewer serve than shall: not the time to end others
        ended = await asyncio.gather(*(self._end(name, member) for member in surplus))
        return [*problems, *(found for found in ended if found is not None)]

    async def _launch(self, pool: PoolRecord, member: str) -> ProblemRecord | None:
        now = self._context.unix_time()
        try:
            await self._context.launcher.start(self._context.specs.gateway(pool, member, now))
        except LaunchFailed as error:
            return problem("not-started", "", str(error))
        return None

    async def _until_served(self, members: list[str]) -> list[ProblemRecord]:
        await self._context.reports.until(lambda: all(map(self._serves, members)), SERVE_SECONDS)
        return [self._silence(member) for member in members if not self._serves(member)]

    def _silence(self, member: str) -> ProblemRecord:
        said = "; ".join(self._context.reports.proxies.problems(member))
        message = f"{member} does not serve after {SERVE_SECONDS:.0f} s"
        return problem("not-serving", "", f"{message}: {said}" if said else message)

    async def _end(self, pool: str, member: str) -> ProblemRecord | None:
        found = None
        launcher = self._context.launcher
        try:
            await launcher.drain(member, DRAIN_SECONDS)
        except LaunchFailed as error:
            found = ProblemRecord(code="not-drained", severity="warning", message=str(error))
        try:
            await launcher.kill(member)
        except LaunchFailed as error:
            return problem("not-ended", "", str(error))
        await self._change(pool, lambda record: _without(record, member))
        await self._context.clear_away(member)
        return found

    def _serves(self, member: str) -> bool:
        return self._context.reports.proxies.serves(member)

    async def _change(self, name: str, change: Callable[[PoolRecord], PoolRecord]) -> PoolRecord:
        def decide(pool: PoolRecord | None) -> PoolRecord:
            return change(pool or PoolRecord(name=name, replicas=0))

        record, _ = await self._context.pools.change(keys.pool(name), decide)
        assert record is not None  # `decide` never makes None
        return record


def _without(pool: PoolRecord, member: str) -> PoolRecord:
    members = [other for other in pool.members if other != member]
    return pool.model_copy(update={"members": members})
