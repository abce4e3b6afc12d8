"""A policy evaluator as an actor: one life after the other (`life.py`), each on a new connection.

Pool `evaluators` says how many run; `actors.leadership` says which leads. All follow the store and
the proxies, so a take-over starts from a complete picture.
"""

import asyncio

from tulle.actors import logs
from tulle.actors.control import ControlSpec
from tulle.actors.evaluator.life import EvaluatorLife
from tulle.actors.evaluator.proxies import ProxyTable
from tulle.actors.leadership import Timing
from tulle.actors.lives import Lives
from tulle.actors.serving import connect_for_ever
from tulle.bus.subjects import Subjects


class EvaluatorActor:
    """Starts itself on the running loop; a restart needs nobody."""

    def __init__(self, spec: ControlSpec, timing: Timing | None = None) -> None:
        logs.start(spec.name, spec.log_folder, as_json=spec.json_logs)
        self._spec = spec
        self._subjects = Subjects(spec.mesh)
        self._timing = timing
        self._leading = False
        self._proxies = ProxyTable()
        self._life: EvaluatorLife | None = None
        self._lives = Lives(spec.name, self._live)

    @property
    def leading(self) -> bool:
        """Whether it serves the policy API."""
        return self._leading

    async def health(self) -> None:
        """Returns once it follows the store. Raises what kept it from that."""
        await self._lives.health()

    async def stop(self) -> None:
        """Ends it at once; another replica takes over when it notices."""
        await self._lives.stop()

    async def retire(self) -> None:
        """Ends it for good; if it leads, another replica takes over at once."""
        if self._life is not None:
            await self._life.resign()
        await self._lives.stop()

    async def _live(self) -> None:
        """Another start of NATS ends it, a store made anew, or a mistake of ours."""
        async with await connect_for_ever(self._spec, one_start=True) as connection:
            now = asyncio.get_running_loop().time()
            # Else an apply that comes at once would wait only for those who spoke since.
            self._proxies = self._proxies.successor(now)
            life = EvaluatorLife(
                self._spec, self._subjects, connection, self._timing, self._say, self._proxies
            )
            self._life = life
            try:
                await life.live()
            finally:
                self._life = None
                self._leading = False

    def _say(self, *, following: bool, serving: bool) -> None:
        if following:
            self._lives.serving.set()
        self._leading = serving
