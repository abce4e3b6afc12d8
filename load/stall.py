"""How long a proxy's loop stands still while it installs: `python -m tulle.load.stall`.

A gateway (a proxy's own code in a process without Ray, `followers.py`) follows a real evaluator and
serves 300 requests/s, in an open loop. A VirtualService of 1,000 routes is applied, another one
each time; its loop is asked each millisecond how late it is. The same without a change is the
ground noise.
"""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from tulle.deploy.demo.mesh import POOL
from tulle.load import contestants, ours
from tulle.load.control_plane import ControlPlane, control_plane
from tulle.load.crowd import Followers, crowd
from tulle.load.figures import Command, Figures, main, milliseconds, number
from tulle.load.scenarios import HOST
from tulle.load.steady import Seen, Steady, steady
from tulle.load.workloads import PORT, SERVICE

TARGET_MS = 5.0
SETTLE_SECONDS = 0.5


async def measure(options: argparse.Namespace, folder: Path) -> Figures:
    """The longest stall with installs and without, in milliseconds of time and of CPU."""
    async with (
        contestants.backend(folder) as backend,
        control_plane(folder, SERVICE, PORT) as mesh,
        crowd([mesh.job("gateway", 0, 1, pool=POOL)], folder) as (gateway,),
    ):
        await mesh.apply(ours.many_routes(backend, options.routes, 0))
        port = (await gateway.event("ready"))["port"]
        assert isinstance(port, int)
        await contestants.answers(port, lambda: None)
        async with steady(Steady(port, HOST, "/", options.rate)) as seen:
            quiet, installing = await _windows(mesh, gateway, backend, options)
    return _figures(quiet, installing, seen, options)


async def _windows(
    mesh: ControlPlane, gateway: Followers, backend: int, options: argparse.Namespace
) -> tuple[dict[str, object], dict[str, object]]:
    """What the probe found without installs and with them, in windows of about the same length."""
    await asyncio.sleep(SETTLE_SECONDS)
    gateway.send("begin")
    await asyncio.sleep(options.installs * SETTLE_SECONDS)
    gateway.send("end")
    quiet = await gateway.event("stall")
    gateway.send("begin")
    for version in range(1, options.installs + 1):
        await mesh.apply(ours.many_routes(backend, options.routes, version))
        await asyncio.sleep(SETTLE_SECONDS)
    gateway.send("end")
    return quiet, await gateway.event("stall")


def _figures(
    quiet: Figures, installing: Figures, seen: Seen, options: argparse.Namespace
) -> Figures:
    return {
        "stall_ms": milliseconds(number(installing, "longest")),
        "stall_cpu_ms": milliseconds(number(installing, "cpu")),
        "quiet_stall_ms": milliseconds(number(quiet, "longest")),
        "quiet_stall_cpu_ms": milliseconds(number(quiet, "cpu")),
        "routes": options.routes,
        "installs": options.installs,
        "requests": seen.sent,
        "failed": seen.failed,
    }


def missed(found: Figures) -> list[str]:
    """Which targets are missed, in sentences."""
    sentences = []
    if (stall := number(found, "stall_ms")) > TARGET_MS:
        sentences.append(f"the longest stall is {stall:g} ms, at most {TARGET_MS:g} is the target")
    if failed := number(found, "failed"):
        sentences.append(f"{failed:.0f} of {found['requests']} requests failed, none may")
    return sentences


COMMAND = Command(
    name="stall",
    says="Measures the longest stall of a proxy's loop while it installs routes under load.",
    measure=measure,
    missed=missed,
    counts=(
        ("routes", 1000, "routes of the VirtualService"),
        ("installs", 10, "how often it is changed"),
        ("rate", 300, "requests per second meanwhile"),
    ),
)


def run(arguments: Sequence[str] | None = None) -> int:
    """The command; its exit status."""
    return main(COMMAND, arguments)


if __name__ == "__main__":
    sys.exit(run())
