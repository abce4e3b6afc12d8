"""The Ray host: one start brings up all actors, on loopback alone, and its end leaves nothing."""

import asyncio
import contextlib
import ipaddress
import json
import secrets
import signal
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.listening import listening
from tests.support.nats import BusUnderTest, serve_bus
from tulle.actors.holding.holder import Holder
from tulle.bus.codec import decode, encode
from tulle.bus.connection import Connection
from tulle.bus.errors import BusError
from tulle.bus.messages import MeshRequest, StatusAnswer
from tulle.bus.permissions import Role
from tulle.deploy import processes
from tulle.deploy.processes import Process

READY_SECONDS = 60.0


@contextlib.asynccontextmanager
async def ray_host(bus: BusUnderTest, home: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """A Ray host whose events come on stdout; killed with its session if the test fails."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tulle.deploy.local",
        *("--mesh", bus.subjects.mesh, "--mesh-home", str(home), "--nats-url", bus.server.url),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    leader = processes.find(process.pid)
    assert leader is not None
    try:
        yield process
    finally:
        await asyncio.to_thread(processes.end, leader, 10.0)
        await process.wait()


async def until_event(process: asyncio.subprocess.Process, event: str) -> None:
    assert process.stdout is not None
    async with asyncio.timeout(READY_SECONDS):
        while line := await process.stdout.readline():
            if json.loads(line) == {"event": event}:
                return
    raise AssertionError(f"the Ray host ended before {event}")


async def until_ingress_serves(bus: BusUnderTest) -> None:
    operator = await bus.connect(Role.OPERATOR)
    async with asyncio.timeout(READY_SECONDS):
        while not await _ingress_serves(bus, operator):  # noqa: ASYNC110 - a question to NATS
            await asyncio.sleep(0.1)


async def _ingress_serves(bus: BusUnderTest, operator: Connection) -> bool:
    request = MeshRequest(id=secrets.token_hex(4))
    with contextlib.suppress(BusError):
        message = await operator.request(bus.subjects.api_mesh("status"), encode(request), 1.0)
        proxies = decode(StatusAnswer, message.data).proxies
        return any(proxy.state == "ready" and proxy.listening for proxy in proxies)
    return False


@pytest.mark.timeout(180)
@pytest.mark.asyncio
async def test_all_comes_up_on_loopback_and_ends_without_a_trace() -> None:
    async with serve_bus() as bus:
        home = bus.creds.parent
        for folder in ("nodes", "proxies", "authority"):
            (home / folder).mkdir(mode=0o700)
        holder = Holder(str(home / "holder.sock"), lambda *_: ("127.0.0.1", 0))
        await holder.start()
        try:
            async with ray_host(bus, home) as process:
                await until_event(process, "ray-ready")
                [node] = (home / "nodes").iterdir()
                await until_event(process, "actors-ready")
                await until_ingress_serves(bus)
                leader = processes.find(process.pid)
                assert leader is not None
                _check(leader, home)
                process.send_signal(signal.SIGTERM)
                async with asyncio.timeout(15):
                    assert await process.wait() == 0
                assert not node.exists()
                assert processes.members(leader) == []
        finally:
            await holder.close()


def _check(leader: Process, home: Path) -> None:
    members = processes.members(leader)
    assert len(members) >= 8  # host, head, raylet, five control actors
    sockets = listening(members)
    assert sockets
    outside = [one for one in sockets if not ipaddress.ip_address(one[1]).is_loopback]
    assert outside == []
    assert stat.S_IMODE((home / "ray.token").stat().st_mode) == 0o600
    logs = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (home / "logs").iterdir()}
    assert set(logs.values()) == {0o600}
    assert {name.rpartition("-")[0] for name in logs} >= {
        "tulle-authority",
        "tulle-collector",
        "tulle-evaluator",
        "tulle-supervisor",
        "tulle-proxy-ingress",
    }
