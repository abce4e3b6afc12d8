"""The leading evaluator's way to bucket `config`: compile what changed, commit it behind a fence.

The bucket is claimed at election (actors.claim), so that a deposed evaluator's config is refused
although its leadership is about bucket `policies`. Compiling runs off the loop, so that
lease and answers never wait for it. Changes that come meanwhile are compiled together next.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tulle.actors.claim import Claim
from tulle.actors.evaluator.published import SLICE, Published
from tulle.actors.evaluator.pulse import Pulse
from tulle.actors.recent import RecentChanges
from tulle.bus.errors import BusError
from tulle.bus.store import Change, Store
from tulle.policies.compile.world import Compilation, compile_world
from tulle.policies.world import World

RETRY_SECONDS = 0.5
INHERITED = 1000
"""Keys of a predecessor that the first heartbeats name: nobody knows what its own still told."""

PAST = 100
"""Publications whose changed keys are remembered, for those who wait for their acks."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Target:
    """A world, and the mesh revision that it reflects."""

    world: World
    revision: int


class Publisher:
    """Made at election, `run` until deposed. `on_published` is called after each publication.

    Only who is still `leading` claims the bucket: a refusal may be the sign of a successor.
    """

    def __init__(
        self,
        store: Store,
        name: str,
        on_published: Callable[[], None],
        *,
        leading: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.recent = RecentChanges()
        self._store = store
        self._claim = Claim(store, name, leading)
        self._on_published = on_published
        self._clock = clock
        self._target: Target | None = None
        self._done: Target | None = None
        self._published = Published()
        self._compilation: Compilation | None = None
        self._pulse = Pulse()
        self._changed: dict[str, int] = {}  # by the publication under way
        self._past: deque[tuple[int, Mapping[str, int]]] = deque(maxlen=PAST)

    @property
    def revision(self) -> int:
        """The mesh revision that all of `config` reflects; 0: not known yet."""
        return self._done.revision if self._done else 0

    @property
    def newest(self) -> dict[str, int]:
        """All keys of `config` with their revisions."""
        return self._published.newest

    def publish(self, world: World, revision: int) -> None:
        """From now on this is what `config` shall reflect."""
        if self._target is None or self._target.world is not world:
            self._target = Target(world, revision)
        elif self._target.revision != revision:
            self._target = Target(world, revision)
        self._pulse.beat()

    async def published(self, revision: int) -> Mapping[str, int]:
        """The keys that the publication of mesh revision `revision` changed, with their own.

        Waits for it; bound it from outside. All keys when it is as old as the first publication
        or long past: then nobody knows what a predecessor published for it.
        """
        await self._pulse.until(lambda: self.revision >= revision)
        oldest, changed = self._past[0]
        if revision <= oldest:
            return {**changed, **self.newest}
        return next(changed for known, changed in self._past if known >= revision)

    async def run(self) -> None:
        """Publishes until cancelled; what fails is tried again from what the store then holds."""
        while True:
            try:
                if not self._claim.held:
                    await self._take_over()
                await self._publish_newest()
            except (BusError, TimeoutError) as error:
                log.warning("config is not published, trying again: error=%s", error)
                self._claim.release()
                await asyncio.sleep(RETRY_SECONDS)
            else:
                await self._pulse.until(lambda: self._target is not self._done)

    async def _take_over(self) -> None:
        """Claims the bucket, then reads what the predecessor left."""
        await self._claim.take()
        self._published = Published(await self._store.get_all())
        newest = sorted(self._published.newest.items(), key=lambda item: item[1])[-INHERITED:]
        self.recent.add(dict(newest), self._clock())

    async def _publish_newest(self) -> None:
        target = self._target
        if target is None or target is self._done:
            return
        compilation, changes = await asyncio.to_thread(self._compile, target.world)
        for start in range(0, len(changes), SLICE):
            self._changed |= await self._commit(changes[start : start + SLICE])
        self._compilation, self._done = compilation, target
        self._past.append((target.revision, self._changed))
        self._changed = {}
        self._pulse.beat()
        self._on_published()

    def _compile(self, world: World) -> tuple[Compilation, list[Change]]:
        compilation = compile_world(world, self._compilation)
        return compilation, self._published.changes(compilation.configs)

    async def _commit(self, changes: list[Change]) -> dict[str, int]:
        committed = await self._claim.commit(changes)
        revisions = self._published.on_committed(changes, committed.revision)
        self.recent.add(revisions, self._clock())
        return revisions
