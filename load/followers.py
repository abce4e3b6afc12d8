"""Proxies without apps, in a process of its own: they follow the mesh's config and install it.

Each has a connection and a user of its own and the code of a real one: `follower.py`, with machine,
keys and subscriptions, into a `Plane`. `python -m tulle.load.followers` reads a `Job` and then
commands from stdin, a JSON line each, and says what happens on stdout, a JSON line each:

    {"event": "ready", "port": 0}               all follow, and hold what they are to hold
    {"event": "installed", "name": "v7", "at": [...]}         each has routes of that name, since
    {"event": "stall", "longest": .., "cpu": .., "ticks": ..}       after "begin" ... "end"

`at` are Unix times. A sidecar holds the routes of `host`; a gateway those of its pool, which it
serves on `port`.
Counterpart: `crowd.py`, which starts such processes.
"""

import asyncio
import json
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import uvloop
from pydantic import BaseModel

from tulle.actors.proxy.actor import tune_garbage_collection
from tulle.actors.proxy.events import HostWanted, Reported
from tulle.actors.proxy.follower import Follower
from tulle.actors.proxy.last_good import LastGood
from tulle.actors.proxy.machine import ProxyMachine
from tulle.actors.proxy.plane import Plane
from tulle.actors.proxy.spec import ProxySpec
from tulle.actors.proxy.subscriptions import Subscriptions
from tulle.actors.supervisor.specs import GATEWAY_ACCOUNT, GATEWAY_NAMESPACE
from tulle.bus.connection import connect
from tulle.bus.issuer import Issuer
from tulle.bus.permissions import ProxyUser, rights
from tulle.bus.subjects import Subjects
from tulle.load.probe import Probe
from tulle.policies.config import GatewayConfig, OutboundConfig, Route
from tulle.policies.steps import Steps

CONNECTING_AT_ONCE = 16
CONNECT_SECONDS = 30.0


class Job(BaseModel):
    """What a process of followers does. `keys`: the folder of the issuer's keys."""

    mesh: str
    nats_url: str
    keys: Path
    role: str  # "sidecar" or "gateway"
    first: int
    count: int
    folder: Path  # for what the proxies keep
    host: str = ""
    pool: str = ""


class Installs:
    """Who has installed which routes, by the name of their first route; told when all have."""

    def __init__(self, count: int) -> None:
        self.held = asyncio.Event()
        self._count = count
        self._at: dict[str, dict[str, float]] = defaultdict(dict)

    def add(self, proxy: str, routes: Sequence[Route]) -> None:
        """`proxy` has these routes in use from now on."""
        name = routes[0].name if routes else ""
        times = self._at[name]
        times.setdefault(proxy, time.time())
        if len(times) == self._count:
            self.held.set()
            tell("installed", name=name, at=list(times.values()))


class WatchedPlane(Plane):
    """One that tells of the routes that it has installed."""

    watched: Installs
    proxy: str

    def installing_outbound(self, config: OutboundConfig) -> Steps[None]:
        yield from super().installing_outbound(config)
        self.watched.add(self.proxy, config.ports[0].routes if config.ports else ())

    def installing_gateway(self, config: GatewayConfig) -> Steps[None]:
        yield from super().installing_gateway(config)
        hosts = config.listeners[0].virtual_hosts if config.listeners else ()
        self.watched.add(self.proxy, hosts[0].routes if hosts else ())


@dataclass(frozen=True, slots=True)
class Simulated:
    """One proxy: its parts, as an actor has them."""

    plane: WatchedPlane
    follower: Follower


def tell(event: str, **facts: object) -> None:
    """Says what happened."""
    print(json.dumps({"event": event, **facts}), flush=True)


async def follow(job: Job, issuer: Issuer, number: int, installs: Installs) -> Simulated:
    """A proxy that follows and holds what it is to hold, or is about to."""
    spec = spec_of(job, number)
    subjects = Subjects(job.mesh)
    user = ProxyUser(spec.id, spec.namespace, spec.account, spec.pool)
    credentials = issuer.credentials(job.nats_url, user.name, rights(user, subjects))
    connection = await connect(
        job.nats_url, credentials, name=spec.id, first_timeout=CONNECT_SECONDS
    )
    plane = WatchedPlane(spec, loop=asyncio.get_running_loop(), want_host=lambda host: None)
    plane.watched, plane.proxy = installs, spec.id
    kept = LastGood(job.folder / spec.id)
    await asyncio.to_thread(kept.load)
    follower = Follower(ProxyMachine(spec, time.time()), plane, kept, lambda config: None)
    await follower.start(Subscriptions(connection, subjects, spec.id, follower.tell))
    await follower.has_first_keys.wait()
    follower.tell(Reported("ready", (), ()))
    if job.host:
        follower.tell(HostWanted(job.host))
    return Simulated(plane, follower)


def spec_of(job: Job, number: int) -> ProxySpec:
    """The proxy of that number."""
    gateway = job.role == "gateway"
    return ProxySpec(
        id=f"simulated-{number:05}",
        mesh=job.mesh,
        role="gateway" if gateway else "sidecar",
        namespace=GATEWAY_NAMESPACE if gateway else "default",
        account=GATEWAY_ACCOUNT if gateway else "simulated",
        service=job.pool if gateway else "simulated",
        nats_url=job.nats_url,
        nats_credentials="",
        holder="",
        folder="",
        ticket="",
        pool=job.pool,
    )


async def run() -> None:
    """The life of the process: until its stdin ends."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    job = Job.model_validate_json(await reader.readline())
    issuer, installs = Issuer.load(job.keys), Installs(job.count)
    some = asyncio.Semaphore(CONNECTING_AT_ONCE)

    async def one(number: int) -> Simulated:
        async with some:
            return await follow(job, issuer, number, installs)

    simulated = await asyncio.gather(*map(one, range(job.first, job.first + job.count)))
    await installs.held.wait()
    port = 0
    if job.role == "gateway":
        plane = simulated[0].plane
        server = await loop.create_server(lambda: plane.gateway_protocol(80), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
    tune_garbage_collection()
    tell("ready", port=port)
    probe: Probe | None = None
    while command := (await reader.readline()).strip():
        if command == b"begin":
            probe = Probe(loop)
            probe.start()
        elif command == b"end" and probe is not None:
            found = probe.stop()
            tell("stall", longest=found.longest, cpu=found.cpu, ticks=found.ticks)


if __name__ == "__main__":
    uvloop.run(run())
