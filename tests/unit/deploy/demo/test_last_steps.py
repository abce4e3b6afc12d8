"""Steps 7 and 8 on a mesh that dies and answers as it is told: what is wrong fails a check."""

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from tulle.bus.messages import ServiceRecord, Workload
from tulle.deploy.demo import actors
from tulle.deploy.demo.bookstore import Bookstore
from tulle.deploy.demo.checks import Checks
from tulle.deploy.demo.children import CommandFailed
from tulle.deploy.demo.metrics import PER_PROXY, Sample
from tulle.deploy.demo.pages import Page
from tulle.deploy.demo.stage import Stage
from tulle.deploy.demo.steps import killing, without_nats
from tulle.deploy.demo.traffic import Traffic
from tulle.deploy.home import Home

REVIEWS = "reviews-v2-abcde"
GATEWAYS = ["ingress-aaaaa", "ingress-bbbbb"]
PAGE_SECONDS = 0.1
DEATH_SECONDS = 0.02
SIDECAR, GATEWAY = "kill -9 of a reviews sidecar", "kill -9 of one of 2 gateways"
STOPPED, POLICY = "NATS stopped for 5 s", "then a policy at once"


@dataclass
class World:
    """Stands for bookstore and traffic. A page ends with each look at the time.

    What went wrong is `error`, of pages that were under way when `dead` died; after it they are as
    `later` says. `back`, `gateway_back`: how many pages later who is dead serves again.
    """

    calls: list[str] = field(default_factory=list)
    error: str = ""
    later: str = ""
    dead: str = ""
    strikes: str = GATEWAYS[0]
    back: int = 20
    gateway_back: int = 20
    gateways: list[str] = field(default_factory=lambda: GATEWAYS)
    silent: bool = True
    version: str = ""
    layout: Home = field(default_factory=lambda: Home(Path("/nowhere")))
    pages: deque[Page] = field(default_factory=deque)
    time: float = 0.0
    lost: int = 0
    deaths: int = 0
    stopped: bool = False

    # The traffic.

    def now(self) -> float:
        self.time += PAGE_SECONDS / 4
        dead = bool(self.dead)
        self.back -= dead
        workload = REVIEWS if not dead or self.back < 0 else "reviews-v2-other"
        version = self.version or "v2"
        parts = {"reviews": (version, workload)}
        error = self.later if dead or self.stopped else ""
        began = self.time - PAGE_SECONDS / 8
        self.pages.append(Page(began, self.time, 200, error, {} if error else parts))
        return self.time

    def since(self, moment: float) -> list[Page]:
        return [page for page in self.pages if page.started >= moment]

    def give_up(self, pages: list[Page]) -> None:
        Traffic.give_up(cast(Traffic, self), pages)

    async def settled(self) -> None:
        pass

    # The bookstore.

    async def apply_policy(self, name: str) -> None:
        self.calls.append(name)
        if name == "reviews-v3.yaml":
            self.version = self.version or "v3"

    async def scale(self, replicas: int) -> None:
        self.calls.append(f"scale {replicas}")
        self.dead, self.back = "", self.gateway_back

    async def services(self) -> SimpleNamespace:
        one = Workload(id=REVIEWS, account="reviews", address="", version="v2", ports={9080: 1})
        return SimpleNamespace(
            services=[ServiceRecord(namespace="default", name="reviews", workloads=[one])]
        )

    async def status(self) -> SimpleNamespace:
        if self.stopped and self.silent:
            raise TimeoutError
        one = [SimpleNamespace(role="gateway", state="ready", id=id) for id in self.gateways]
        return SimpleNamespace(proxies=one)

    async def metrics(self) -> list[Sample]:
        counts = dict(zip(self.gateways, (700.0, 50.0), strict=False))
        if self.dead in counts and self.back <= 15:
            counts[self.dead] = 3.0 if self.back < 0 else 0.0  # of its next life
        return [Sample(PER_PROXY, {"proxy": id}, count) for id, count in counts.items()]

    # Its processes.

    def kill(self, home: Home, actor: str) -> None:
        self.deaths += 1
        self.dead = actor.removeprefix("tulle-proxy-")
        if self.error and self.dead == self.strikes:
            self.pages.append(Page(self.time, self.time + PAGE_SECONDS, 0, self.error))
        self.time += DEATH_SECONDS

    @contextmanager
    def nats_stopped(self, home: Home) -> Iterator[None]:
        self.stopped = True
        self.now()
        yield
        self.stopped = False


class Scene(Stage):
    async def pages(self, count: int) -> list[Page]:
        began = self.traffic.now()
        while len(found := self.traffic.since(began)) < count:
            self.traffic.now()
        return found


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    world = World()
    monkeypatch.setattr(actors, "kill", world.kill)
    monkeypatch.setattr(actors, "nats_stopped", world.nats_stopped)
    monkeypatch.setattr(killing, "_POLL_SECONDS", 0)
    monkeypatch.setattr(without_nats, "ASKING_SECONDS", without_nats.STOPPED_SECONDS)
    return world


def scene(world: World) -> Scene:
    return Scene(0, cast(Bookstore, world), cast(Traffic, world), [], Checks())


def failed(stage: Stage) -> list[str]:
    return [check.name for check in stage.checks.done if not check.ok]


def said(stage: Stage, name: str) -> str:
    return next(check.seen for check in stage.checks.done if check.name == name)


@pytest.mark.asyncio
async def test_what_is_killed_comes_back(world: World) -> None:
    stage = scene(world)
    await killing.run(stage)
    assert failed(stage) == []
    assert world.calls == ["reviews-all.yaml", "scale 2", "scale 1"]
    assert (world.deaths, world.lost) == (2, 0)
    assert "back in 0." in said(stage, SIDECAR)
    assert "counts again in 0." in said(stage, GATEWAY)


@pytest.mark.asyncio
async def test_what_is_in_flight_in_a_gateway_is_lost_and_has_not_failed(world: World) -> None:
    world.error = "ConnectionLost: reset: [Errno 104]"
    stage = scene(world)
    await killing.run(stage)
    assert failed(stage) == []
    assert world.lost == 1
    assert "1 lost with it, 0 failed" in said(stage, GATEWAY)


@pytest.mark.asyncio
@pytest.mark.parametrize("error", ["ConnectionRefusedError: 111", "status 503 proxy_down"])
async def test_a_gateway_that_is_missed_otherwise(world: World, error: str) -> None:
    world.error = error
    stage = scene(world)
    await killing.run(stage)
    assert failed(stage) == [GATEWAY, "no request failed"]
    assert world.lost == 0


@pytest.mark.asyncio
async def test_connections_that_are_lost_later_were_not_in_flight(world: World) -> None:
    world.strikes, world.later = "", "ConnectionLost: closed"
    stage = scene(world)
    await killing.run(stage)
    assert GATEWAY in failed(stage)
    assert world.lost == 1  # it began while the gateway died


@pytest.mark.asyncio
async def test_a_page_that_a_sidecar_takes_with_it_has_failed(world: World) -> None:
    world.strikes, world.error = REVIEWS, "reviews missing (503 upstream_reset)"
    stage = scene(world)
    await killing.run(stage)
    assert failed(stage) == [SIDECAR, "no request failed"]


@pytest.mark.asyncio
async def test_who_does_not_come_back(world: World) -> None:
    world.back = 10_000
    stage = scene(world)
    await killing.run(stage)
    assert failed(stage) == [SIDECAR]
    assert said(stage, SIDECAR) == "it is not back after 10 s"


@pytest.mark.asyncio
async def test_a_gateway_that_is_there_and_serves_nothing(world: World) -> None:
    world.gateway_back = 10_000
    stage = scene(world)
    await killing.run(stage)
    assert failed(stage) == [GATEWAY]
    assert said(stage, GATEWAY) == "it is not back after 10 s"


@pytest.mark.asyncio
async def test_one_gateway_is_not_two(world: World) -> None:
    world.gateways = GATEWAYS[:1]
    stage = scene(world)
    await killing.run(stage)
    assert failed(stage) == [GATEWAY]


@pytest.mark.asyncio
async def test_nobody_to_kill(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(home: Home, actor: str) -> None:
        raise CommandFailed(f"no process has the log of {actor} open")

    monkeypatch.setattr(actors, "kill", nobody)
    stage = scene(world)
    await killing.run(stage)
    assert failed(stage) == [SIDECAR, GATEWAY]


@pytest.mark.asyncio
async def test_without_nats_pages_go_on_and_then_a_policy_is_heard(world: World) -> None:
    stage = scene(world)
    await without_nats.run(stage)
    assert failed(stage) == []
    assert world.calls == ["reviews-v3.yaml"]
    assert "NATS was silent" in said(stage, STOPPED)
    assert not world.stopped


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({"silent": False}, [STOPPED]),
        ({"later": "status 503"}, [STOPPED, "no request failed"]),
        ({"version": "v2"}, [POLICY]),
    ],
    ids=["not stopped at all", "pages fail", "not in effect"],
)
async def test_without_nats_something_is_wrong(
    world: World, changes: dict[str, object], wrong: list[str]
) -> None:
    for name, value in changes.items():
        setattr(world, name, value)
    stage = scene(world)
    await without_nats.run(stage)
    assert failed(stage) == wrong


@pytest.mark.asyncio
async def test_a_policy_that_takes_too_long(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(without_nats, "APPLIED_SECONDS", 0.0)
    stage = scene(world)
    await without_nats.run(stage)
    assert failed(stage) == [POLICY]
