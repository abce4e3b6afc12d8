"""The demo without a mesh: a bookstore and its traffic that do at once what they are told to."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

from tulle.deploy.demo.children import CommandFailed
from tulle.deploy.demo.pages import Page

INGRESS = "127.0.0.1:18080"
HTTP = "http://127.0.0.1:15000"


@dataclass
class Clock:
    """Stands for the module `time` in deploy.demo.main; only the test makes it go on."""

    now: float = 1_000.0

    def monotonic(self) -> float:
        return self.now


@dataclass
class FakeBookstore:
    """As deploy.demo.bookstore.Bookstore. `calls` is what was asked of it, in order.

    `up_seconds` is how long the mesh takes to come up; `fails` names calls that fail.
    """

    clock: Clock
    home: Path
    up_seconds: float = 9.0
    fails: tuple[str, ...] = ()
    stuck: list[str] = field(default_factory=list)
    file: SimpleNamespace | None = None
    calls: list[str] = field(default_factory=list)

    def _call(self, name: str) -> None:
        self.calls.append(name)
        if name in self.fails:
            raise CommandFailed(f"`tulle {name}` ended with status 1:\nno luck")

    async def up(self) -> SimpleNamespace:
        self.clock.now += self.up_seconds
        self._call("up")
        self.file = SimpleNamespace(ingress=INGRESS, http=HTTP)
        return self.file

    async def run_apps(self) -> None:
        self._call("run")

    async def apply_policy(self, name: str) -> None:
        self._call(f"apply {name}")

    @property
    def ingress(self) -> tuple[str, int]:
        host, _, port = INGRESS.rpartition(":")
        return host, int(port)

    async def end(self) -> list[str]:
        self._call("end")
        return self.stuck


class FakeTraffic:
    """As deploy.demo.traffic.Traffic, with the pages that it is given."""

    def __init__(self, pages: Iterable[Page] = ()) -> None:
        self.pages = list(pages)
        self.sent = len(self.pages)
        self.lost = 0
        self.told: list[str] = []

    def start(self) -> None:
        self.told.append("start")

    async def stop(self) -> None:
        self.told.append("stop")
