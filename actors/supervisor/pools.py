"""Gateway pools: how many members each has, started and drained to be so.

Members that drain stay in the record until they have ended, so that a crash in the middle leaves
nobody behind: `recover` goes on where it was.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Container, Iterable
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


def grown(pool: PoolRecord, ending: Container[str], suffix: Callable[[], str]) -> PoolRecord:
    """The pool with new members, up to `replicas` that are not `ending`."""
    members = list(pool.members)
    while sum(member not in ending for member in members) < pool.replicas:
        member = f"{pool.name}-{suffix()}"
        if member not in members:
            members.append(member)
    return pool.model_copy(update={"members": members})


def staying(pool: PoolRecord, ending: Container[str]) -> list[str]:
    """The members that the pool keeps."""
    return [member for member in pool.members if member not in ending][: pool.replicas]


class Pools:
    """All gateway pools of the mesh, for one term of leadership."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._ending: dict[str, asyncio.Task[ProblemRecord | None]] = {}

    async def recover(self) -> None:
        """Makes pool `ingress` in a new mesh; brings all pools to their size."""
        if not self._context.pools.all():
            await self._context.pools.change(keys.pool(INGRESS.name), lambda _: INGRESS)
        for pool in self._context.pools.all():
            self._context.background.run(self._settle_at_last(pool.name))

    def all(self) -> list[PoolRecord]:
        """What is desired, by name."""
        return self._context.pools.all()

    async def scale(self, request: ScaleRequest) -> Answer:
        """api.mesh.scale: answers when the pool has that many serving members, or why not."""
        if self._context.pools.get(keys.pool(request.pool)) is None:
            names = ", ".join(pool.name for pool in self._context.pools.all()) or "none"
            found = problem("unknown-pool", "pool", f"no pool {request.pool!r}; pools: {names}")
            return Answer(id=request.id, ok=False, problems=[found])
        await self._change(request.pool, lambda pool: resized(pool, request.replicas, self._serves))
        problems = await self._settle(request.pool)
        return Answer(id=request.id, ok=not any(map(_is_error, problems)), problems=problems)

    async def _settle_at_last(self, name: str) -> None:
        while True:
            try:
                problems = await self._settle(name)
                if not any(map(_is_error, problems)):
                    return
                _LOG.warning("pool %s: %s", name, "; ".join(found.message for found in problems))
            except BusError as error:
                _LOG.warning("pool %s is not settled, to be tried again: %s", name, error)
            await asyncio.sleep(AGAIN_SECONDS)

    async def _settle(self, name: str) -> list[ProblemRecord]:
        """Starts members that lack, waits until all that stay serve, ends the surplus."""
        ending, suffix = self._ending, self._context.suffix
        pool = await self._change(name, lambda pool: grown(pool, ending, suffix))
        stay = staying(pool, ending)
        problems = await _all(self._launch(pool, member) for member in stay)
        problems = problems or await self._until_served(pool, stay)
        if problems:
            return problems  # fewer serve than shall: not the time to end others
        return await _all(self._end(name, one) for one in pool.members if one not in stay)

    async def _launch(self, pool: PoolRecord, member: str) -> ProblemRecord | None:
        now = self._context.unix_time()
        try:
            await self._context.launch(self._context.specs.gateway(pool, member, now))
        except LaunchFailed as error:
            return problem("not-started", "", str(error))
        return None

    async def _until_served(self, pool: PoolRecord, members: list[str]) -> list[ProblemRecord]:
        def overtaken() -> bool:
            now = self._context.pools.get(keys.pool(pool.name))
            return now is None or now.replicas != pool.replicas

        await self._context.reports.until(
            lambda: overtaken() or all(map(self._serves, members)), SERVE_SECONDS
        )
        if overtaken():
            return [problem("overtaken", "", f"pool {pool.name} was scaled again meanwhile")]
        return [self._silence(member) for member in members if not self._serves(member)]

    def _silence(self, member: str) -> ProblemRecord:
        said = "; ".join(self._context.reports.proxies.problems(member))
        message = f"{member} does not serve after {SERVE_SECONDS:.0f} s"
        return problem("not-serving", "", f"{message}: {said}" if said else message)

    async def _end(self, pool: str, member: str) -> ProblemRecord | None:
        """Ends a member, once however often it is asked for."""
        background = self._context.background
        if member not in self._ending:
            self._ending[member] = background.run(self._drain_and_kill(pool, member))
        try:
            return await asyncio.shield(self._ending[member])
        finally:
            if (ending := self._ending.get(member)) is not None and ending.done():
                del self._ending[member]

    async def _drain_and_kill(self, pool: str, member: str) -> ProblemRecord | None:
        launcher, found = self._context.launcher, None
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
        self._context.reports.notify()
        assert record is not None  # `decide` never makes None
        return record


def _without(pool: PoolRecord, member: str) -> PoolRecord:
    members = [other for other in pool.members if other != member]
    return pool.model_copy(update={"members": members})


def _is_error(found: ProblemRecord) -> bool:
    return found.severity == "error"


async def _all(work: Iterable[Awaitable[ProblemRecord | None]]) -> list[ProblemRecord]:
    """Does all of it at once; the problems that were found."""
    return [found for found in await asyncio.gather(*work) if found is not None]
