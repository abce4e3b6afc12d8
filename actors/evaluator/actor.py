"""A policy evaluator as an actor: one life after the other (`life.py`), each on a new connection.

Pool `evaluators` says how many run; `actors.leadership` says which leads. All follow the store and
the proxies, so a take-over starts from a complete picture.
"""

from tulle.actors import logs
from tulle.actors.control import ControlSpec
from tulle.actors.evaluator.life import EvaluatorLife
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
        """A store made anew ends it, or a mistake of ours."""
        async with await connect_for_ever(self._spec) as connection:
            life = EvaluatorLife(self._spec, self._subjects, connection, self._timing, self._say)
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
