"""What the demo asks of the mesh, as values; steps record them here, report.py shows them."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tulle.deploy.demo.exchange import ConnectionLost
from tulle.deploy.errors import Failure


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was asked for: `expected` and `seen` are short texts for people."""

    step: int
    name: str
    ok: bool
    expected: str
    seen: str
    seconds: float


@dataclass(slots=True)
class Outcome:
    """What a check that runs has seen so far; without a word it has failed."""

    ok: bool = False
    seen: str = "nothing"

    def saw(self, seen: object, ok: bool) -> None:
        """Says what was seen and whether it is as expected."""
        self.seen, self.ok = str(seen), ok


@dataclass(slots=True)
class Checks:
    """All checks of one demo, in their order. `on_start(step, name, expected)`, `on_end(check)`."""

    on_start: Callable[[int, str, str], None] = lambda step, name, expected: None
    on_end: Callable[[Check], None] = lambda check: None
    clock: Callable[[], float] = time.monotonic
    done: list[Check] = field(default_factory=list)
    trouble: list[str] = field(default_factory=list)  # in full what checks show the last line of

    @property
    def ok(self) -> bool:
        """Whether every check held; with none there is nothing to be glad of."""
        return bool(self.done) and all(check.ok for check in self.done)

    @contextmanager
    def check(self, step: int, name: str, expected: str) -> Iterator[Outcome]:
        """Runs the block as one check. What the mesh does wrong fails the check and no more."""
        self.on_start(step, name, expected)
        outcome, began = Outcome(), self.clock()
        try:
            yield outcome
        except (Failure, TimeoutError, OSError, ConnectionLost) as error:
            said = f"{error}".strip() or "not in time"
            outcome.saw(said.splitlines()[-1], False)
            self.trouble.append(f"{name}: {said}")
        seconds = round(self.clock() - began, 2)
        found = Check(step, name, outcome.ok, expected, outcome.seen, seconds)
        self.done.append(found)
        self.on_end(found)
