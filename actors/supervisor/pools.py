"""Pools of gateways, evaluators and collectors: how many members each has, started and ended so.

Members that end stay in the record until they have ended, so that a crash in the middle leaves
nobody behind: `recover` goes on where it was. What differs between the kinds is in members.py.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Container, Iterable
from typing import Final

from tulle.actors.supervisor.admission import problem
from tulle.actors.supervisor.context import Context
from tulle.actors.supervisor.launcher import LaunchFailed
from tulle.actors.supervisor.members import (
    DEFAULTS,
    SERVE_SECONDS,
    Members,
    members_of,
    silence,
)
from tulle.bus import keys
from tulle.bus.errors import BusError
from tulle.bus.messages import Answer, PoolRecord, ProblemRecord, ScaleRequest

AGAIN_SECONDS: Final = 5.0

_LOG = logging.getLogger(__name__)


def resized(pool: PoolRecord, replicas: int, order: Callable[[list[str]], list[str]]) -> PoolRecord:
    """The pool with `replicas` wanted; `order` says who comes first and so stays."""
    return pool.model_copy(update={"replicas": replicas, "members": order(pool.members)})


def grown(pool: PoolRecord, ending: Container[str], new: Callable[[PoolRecord], str]) -> PoolRecord:
    """The pool with new members, up to `replicas` that are not `ending`, which come last."""
    staying = [member for member in pool.members if member not in ending]
    leaving = [member for member in pool.members if member in ending]
    while len(staying) < pool.replicas:
        now = pool.model_copy(update={"members": [*staying, *leaving]})
        if (member := new(now)) not in now.members:
            staying.append(member)
    return pool.model_copy(update={"members": [*staying, *leaving]})


def staying(pool: PoolRecord, ending: Container[str]) -> list[str]:
    """The members that the pool keeps."""
    return [member for member in pool.members if member not in ending][: pool.replicas]


def with_first(pool: PoolRecord, order: Callable[[list[str]], list[str]]) -> PoolRecord:
    """The pool with the members that the Ray host starts: it knows no sizes, so they may be up."""
    first = next((default.members for default in DEFAULTS if default.name == pool.name), [])
    members = order(list({*pool.members, *first})) if first else pool.members
    return pool.model_copy(update={"members": members})


class Pools:
    """All pools of the mesh, for one term of leadership."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._members = members_of(context)
        self._ending: dict[str, asyncio.Task[ProblemRecord | None]] = {}

    async def recover(self) -> None:
        """Makes the pools of a new mesh; brings all pools to their size."""
        for default in DEFAULTS:
            if self._context.pools.get(keys.pool(default.name)) is None:
                await self._change(default.name, _always(default))
        for pool in self._context.pools.all():
            await self._change(pool.name, self._with_first)
            self._context.background.run(self._settle_at_last(pool.name))

    def all(self) -> list[PoolRecord]:
        """What is desired, by name."""
        return self._context.pools.all()

    async def scale(self, request: ScaleRequest) -> Answer:
        """api.mesh.scale: answers when the pool has that many serving members, or why not."""
        if (pool := self._context.pools.get(keys.pool(request.pool))) is None:
            names = ", ".join(pool.name for pool in self._context.pools.all()) or "none"
            found = problem("unknown-pool", "pool", f"no pool {request.pool!r}; pools: {names}")
            return Answer(id=request.id, ok=False, problems=[found])
        members = self._of(pool)
        if sentence := members.refusal(request.replicas):
            found = problem("bad-size", "replicas", sentence)
            return Answer(id=request.id, ok=False, problems=[found])
        order = members.in_order
        await self._change(request.pool, lambda pool: resized(pool, request.replicas, order))
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
        ending = self._ending
        pool = await self._change(name, lambda pool: grown(pool, ending, self._of(pool).new))
        stay = staying(pool, ending)
        problems = await _all(self._launch(pool, member) for member in stay)
        problems = problems or await self._until_served(pool, stay)
        if problems:
            return problems  # fewer serve than shall: not the time to end others
        return await _all(self._end(pool, one) for one in pool.members if one not in stay)

    async def _launch(self, pool: PoolRecord, member: str) -> ProblemRecord | None:
        try:
            await self._of(pool).start(pool, member)
        except LaunchFailed as error:
            return problem("not-started", "", str(error))
        return None

    async def _until_served(self, pool: PoolRecord, members: list[str]) -> list[ProblemRecord]:
        def overtaken() -> bool:
            now = self._context.pools.get(keys.pool(pool.name))
            return now is None or now.replicas != pool.replicas

        serves = self._of(pool).serves
        await self._context.reports.until(
            lambda: overtaken() or all(map(serves, members)), SERVE_SECONDS
        )
        if overtaken():
            return [problem("overtaken", "", f"pool {pool.name} was scaled again meanwhile")]
        return [silence(self._context, member) for member in members if not serves(member)]

    async def _end(self, pool: PoolRecord, member: str) -> ProblemRecord | None:
        """Ends a member, once however often it is asked for."""
        background = self._context.background
        if member not in self._ending:
            self._ending[member] = background.run(self._end_for_good(pool, member))
        try:
            return await asyncio.shield(self._ending[member])
        finally:
            if (ending := self._ending.get(member)) is not None and ending.done():
                del self._ending[member]

    async def _end_for_good(self, pool: PoolRecord, member: str) -> ProblemRecord | None:
        try:
            found = await self._of(pool).end(member)
        except LaunchFailed as error:
            return problem("not-ended", "", str(error))
        await self._change(pool.name, lambda record: _without(record, member))
        await self._context.clear_away(member)
        return found

    def _with_first(self, pool: PoolRecord) -> PoolRecord:
        return with_first(pool, self._of(pool).in_order)

    def _of(self, pool: PoolRecord) -> Members:
        return self._members[pool.kind]

    async def _change(self, name: str, change: Callable[[PoolRecord], PoolRecord]) -> PoolRecord:
        def decide(pool: PoolRecord | None) -> PoolRecord:
            return change(pool or PoolRecord(name=name, replicas=0))

        record, _ = await self._context.pools.change(keys.pool(name), decide)
        self._context.reports.notify()
        assert record is not None  # `decide` never makes None
        return record


def _always(pool: PoolRecord) -> Callable[[PoolRecord], PoolRecord]:
    return lambda _: pool


def _without(pool: PoolRecord, member: str) -> PoolRecord:
    members = [other for other in pool.members if other != member]
    return pool.model_copy(update={"members": members})


def _is_error(found: ProblemRecord) -> bool:
    return found.severity == "error"


async def _all(work: Iterable[Awaitable[ProblemRecord | None]]) -> list[ProblemRecord]:
    """Does all of it at once; the problems that were found."""
    return [found for found in await asyncio.gather(*work) if found is not None]
