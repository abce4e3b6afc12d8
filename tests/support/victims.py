"""Whom a test kills: how each part of a mesh is found, and when it serves again.

Serving is asked of the part itself: of an evaluator, supervisor or authority on NATS, of a
collector over HTTP, of a proxy by the requests that come through it.
"""

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from tests.support.mesh import Mesh, until
from tests.support.outage import Traffic
from tulle.actors.proxy.spec import actor_name
from tulle.bus import codec
from tulle.bus.connection import connect as connect_to_nats
from tulle.bus.credentials import Credentials
from tulle.bus.errors import BusError
from tulle.bus.messages import MeshRequest, ServicesAnswer, SignAnswer, SignRequest, StatusAnswer
from tulle.bus.subjects import Subjects
from tulle.deploy import processes
from tulle.deploy.api import Api, connect, new_id
from tulle.deploy.demo.actors import nats_pid, pid_of
from tulle.deploy.errors import Failure
from tulle.deploy.home import Home
from tulle.deploy.settings import Settings

ANSWER_SECONDS: Final = 1.0
_PAUSE_SECONDS: Final = 0.02

AskApi = Callable[[Api], Awaitable[bool]]


@dataclass(frozen=True)
class Victim:
    """A part of the mesh. `loses`: streams whose requests in flight may be lost with it.

    `serves_again(when)` returns once it serves, having died at `when` (monotonic seconds).
    """

    kind: str
    pid: Callable[[], int | None]
    serves_again: Callable[[float], None]
    loses: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Death:
    """Times of the monotonic clock, in seconds; at `gone` the last of its sockets was closed."""

    kind: str
    loses: frozenset[str]
    killed: float
    gone: float
    back: float

    @property
    def seconds(self) -> float:
        """From the kill until the next one of its kind served."""
        return self.back - self.killed


def kill(victim: Victim, limit: float) -> Death:
    """Ends it without a word and waits until its successor serves, `limit` seconds at most."""
    pid = victim.pid()
    assert pid is not None, f"no {victim.kind} runs"
    killed = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    until(lambda: processes.find(pid) is None, limit)
    gone = time.monotonic()
    until(lambda: victim.pid() not in (None, pid), limit)
    victim.serves_again(gone)
    return Death(victim.kind, victim.loses, killed, gone, time.monotonic())


def proxy(
    mesh: Mesh, kind: str, id: str, through: Traffic, loses: frozenset[str], limit: float
) -> Victim:
    """A proxy that `through` passes."""
    return Victim(
        kind,
        lambda: pid_of(Home(mesh.home / "default"), actor_name(id)),
        lambda gone: until(lambda: bool(through.served_after(gone)), limit),
        loses,
    )


def leading_evaluator(mesh: Mesh, limit: float) -> Victim:
    """Whoever leads; a successor may be another one, but the one that died is back too."""
    home, last = Home(mesh.home / "default"), ""

    def pid() -> int | None:
        nonlocal last
        last = last or asyncio.run(_leader(mesh))
        return pid_of(home, last)

    def serves_again(_: float) -> None:
        nonlocal last
        asyncio.run(_within(limit, lambda: _ask_api(mesh, _has_leader)))
        last = ""

    return Victim("evaluator leader", pid, serves_again)


def supervisor(mesh: Mesh, limit: float) -> Victim:
    return _control(mesh, "supervisor", limit, lambda: _ask_api(mesh, _lists_services))


def authority(mesh: Mesh, limit: float) -> Victim:
    """Asked by somebody who holds no ticket of its own, which is an answer too."""
    return _control(mesh, "authority", limit, lambda: _asks_for_a_certificate(mesh))


def collector(mesh: Mesh, limit: float) -> Victim:
    async def counts() -> bool:
        return "istio_requests_total" in await asyncio.to_thread(mesh.metrics)

    return _control(mesh, "collector", limit, counts)


def nats_server(mesh: Mesh, limit: float) -> Victim:
    """It serves when evaluators and supervisor answer over it."""

    async def answers() -> bool:
        return await _ask_api(mesh, _has_leader) and await _ask_api(mesh, _lists_services)

    return Victim(
        "nats-server",
        lambda: nats_pid(Home(mesh.home / "default")),
        lambda _: asyncio.run(_within(limit, answers)),
    )


def _control(mesh: Mesh, role: str, limit: float, serves: Callable[[], Awaitable[bool]]) -> Victim:
    return Victim(
        role,
        lambda: pid_of(Home(mesh.home / "default"), f"tulle-{role}-1"),
        lambda _: asyncio.run(_within(limit, serves)),
    )


async def _within(seconds: float, serves: Callable[[], Awaitable[bool]]) -> None:
    """Asks until it serves. Raises `TimeoutError`."""
    async with asyncio.timeout(seconds):
        while True:
            try:
                if await serves():
                    return
            except (Failure, BusError):
                pass  # nobody answers yet
            await asyncio.sleep(_PAUSE_SECONDS)


async def _ask_api(mesh: Mesh, ask: AskApi) -> bool:
    async with connect(Settings(mesh.home)) as api:
        return await ask(api)


async def _has_leader(api: Api) -> bool:
    request = MeshRequest(id=new_id())
    return (await api.ask(api.subjects.api_mesh("status"), request, StatusAnswer)).ok


async def _lists_services(api: Api) -> bool:
    request = MeshRequest(id=new_id())
    return (await api.ask(api.subjects.api_mesh("services"), request, ServicesAnswer)).ok


async def _leader(mesh: Mesh) -> str:
    async with connect(Settings(mesh.home)) as api:
        request = MeshRequest(id=new_id())
        return (await api.ask(api.subjects.api_mesh("status"), request, StatusAnswer)).leader


async def _asks_for_a_certificate(mesh: Mesh) -> bool:
    file = next((mesh.home / "default" / "proxies").glob("ingress-*/nats.json"))
    who, subjects = Credentials.read(file), Subjects("default")
    request = SignRequest(id=new_id(), ticket="none", csr="none")
    async with await connect_to_nats(who.url, who, name="test") as connection:
        subject = subjects.ca_sign("istio-system", "istio-ingressgateway")
        message = await connection.request(subject, codec.encode(request), ANSWER_SECONDS)
        return not codec.decode(SignAnswer, message.data).ok
