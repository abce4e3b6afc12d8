"""A policy evaluator as an actor: one life after the other (`life.py`), each on a new connection.

Two replicas run; `actors.leadership` says which leads. Both follow the store and the proxies, so a
take-over starts from a complete picture.
"""

import asyncio
import logging

from tulle.actors.control import ControlSpec
from tulle.actors.evaluator.life import EvaluatorLife
from tulle.actors.leadership import Timing
from tulle.actors.serving import connect_for_ever
from tulle.bus.errors import BusError
from tulle.bus.subjects import Subjects

RESTART_SECONDS = 1.0

log = logging.getLogger(__name__)


class EvaluatorActor:
    """Starts itself on the running loop; a restart needs nobody."""

    def __init__(self, spec: ControlSpec, timing: Timing | None = None) -> None:
        self._spec = spec
        self._subjects = Subjects(spec.mesh)
        self._timing = timing
        self._serving = asyncio.Event()
        self._following = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._run(), name=spec.name)

    @property
    def leading(self) -> bool:
        """Whether it serves the policy API."""
        return self._serving.is_set()

    async def health(self) -> None:
        """Returns once it follows the store."""
        await self._following.wait()

    async def stop(self) -> None:
        """Ends it at once; another replica takes over when it notices."""
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _run(self) -> None:
        """One life after the other: a store made anew, or a mistake of ours, ends one."""
        while True:
            connection = await connect_for_ever(self._spec)
            life = EvaluatorLife(self._spec, self._subjects, connection, self._timing, self._say)
            try:
                await life.live()
            except* BusError as error:
                log.warning("starting over: error=%s", error.exceptions[0])
            except* Exception:
                log.exception("starting over after a mistake of ours")
            finally:
                self._say(following=False, serving=False)
                await connection.close()
            await asyncio.sleep(RESTART_SECONDS)

    def _say(self, *, following: bool, serving: bool) -> None:
        for event, value in ((self._following, following), (self._serving, serving)):
            if value:
                event.set()
            else:
                event.clear()
