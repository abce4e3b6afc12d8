"""A follower installs in slices: the loop has its turns meanwhile, events keep their order."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.awaiting import until
from tests.support.proxy_world import cluster, config_ref, host, sidecar_spec
from tulle.actors.proxy import follower
from tulle.actors.proxy.events import Changed, Effect, Event, Install
from tulle.actors.proxy.follower import Follower
from tulle.actors.proxy.last_good import LastGood
from tulle.actors.proxy.machine import ProxyMachine
from tulle.actors.proxy.plane import Plane
from tulle.policies import config as configs
from tulle.policies.config import (
    HttpMatch,
    OutboundConfig,
    PortRoutes,
    Route,
    StringMatch,
    Target,
)
from tulle.policies.steps import Steps

ROUTES = 40


def many_routes(name: str) -> OutboundConfig:
    """The config of host `name`."""
    to = cluster(name)
    match = HttpMatch(uri=StringMatch("prefix", "/a"))
    routes = tuple(Route(f"r{n}", (match,), (Target(to.name, 1),)) for n in range(ROUTES))
    return OutboundConfig(host(name), "default", (PortRoutes(9080, "http", routes),), (to,))


class Obeying(ProxyMachine):
    """Installs the value of each change, as it was decoded; `seen`: the hosts, in order."""

    def __init__(self) -> None:
        super().__init__(sidecar_spec(), 1.0)
        self.seen: list[str] = []

    def handle(self, event: Event, now: float) -> list[Effect]:
        if not isinstance(event, Changed) or event.value is None:
            return []
        what = self._decoded_value(event.ref, event.value)
        assert isinstance(what, OutboundConfig)
        self.seen.append(what.host)
        return [Install(what)]


class Noting(Plane):
    """`installed`: what `handle` had seen when the routes of a host were in use."""

    note: Callable[[str], None]

    def installing_outbound(self, config: OutboundConfig) -> Steps[None]:
        yield from super().installing_outbound(config)
        self.note(config.host)


def changed(name: str) -> Changed:
    config = many_routes(name)
    return Changed(config_ref(config), configs.encode(config), 5, 4)


@pytest.mark.asyncio
async def test_requests_are_served_between_slices_and_events_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follower, "SLICE_SECONDS", 0.0)  # each step is a slice
    loop, machine = asyncio.get_running_loop(), Obeying()
    plane = Noting(machine.spec, loop=loop, want_host=lambda host: None)
    installed: list[tuple[str, int]] = []
    plane.note = lambda host: installed.append((host, len(machine.seen)))
    following = Follower(machine, plane, LastGood(tmp_path), lambda config: None)
    following.tell(changed("a"))
    following.tell(changed("b"))
    assert installed == [], "it has only begun"
    turns = 0

    def turn() -> None:
        nonlocal turns
        turns += 1
        loop.call_soon(turn)

    turn()
    await until(lambda: len(installed) == 2)
    assert installed == [(host("a"), 1), (host("b"), 2)], "one after the other"
    assert turns > 2 * ROUTES
    await following.stop()


@pytest.mark.asyncio
async def test_who_stops_takes_no_step_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follower, "SLICE_SECONDS", 0.0)
    machine = Obeying()
    plane = Noting(machine.spec, loop=asyncio.get_running_loop(), want_host=lambda host: None)
    installed: list[str] = []
    plane.note = installed.append
    following = Follower(machine, plane, LastGood(tmp_path), lambda config: None)
    following.tell(changed("a"))
    await following.stop()
    for _ in range(3 * ROUTES):
        await asyncio.sleep(0)
    assert installed == []


@pytest.mark.asyncio
async def test_changes_that_come_faster_than_they_are_installed_are_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follower, "SLICE_SECONDS", 0.0)
    monkeypatch.setattr(follower, "WAITING_EVENTS", 3)
    machine = Obeying()
    plane = Noting(machine.spec, loop=asyncio.get_running_loop(), want_host=lambda host: None)
    installed: list[str] = []
    plane.note = installed.append
    following = Follower(machine, plane, LastGood(tmp_path), lambda config: None)
    for name in ("a", "b", "c", "d", "e", "f"):
        following.tell(changed(name))
    await until(lambda: len(installed) == 4)
    following.tell(changed("g"))
    await until(lambda: len(installed) == 5)
    # One was under way and three waited; what was too much the machine asks for at a heartbeat.
    assert installed == [host(name) for name in ("a", "b", "c", "d", "g")]
    await following.stop()
