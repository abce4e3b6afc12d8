"""How fast a change reaches a thousand proxies: `python -m tulle.load.propagation`.

1,000 simulated sidecars (`followers.py`: a connection, a user and a real follower each) in four
processes hold the routes of one host. One change after the other is applied; measured is the time
from the commit, as JetStream stamped it when it stored the policy, to each proxy's having installed
the routes. All clocks are the one of this machine, which runs all of it.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from tulle.bus import keys
from tulle.bus.subjects import Bucket
from tulle.load import machine, ours
from tulle.load.control_plane import ControlPlane, control_plane
from tulle.load.crowd import Followers, crowd
from tulle.load.figures import Command, Figures, main, milliseconds, number, percentile
from tulle.load.workloads import PORT, SERVICE

TARGET_MS = 50.0
PAUSE_SECONDS = 0.5
HOST = f"{SERVICE}.default.svc.cluster.local"
_STAMP = "Nats-Time-Stamp"
_READ_SECONDS = 5.0


def unix_time(stamp: str) -> float:
    """The Unix time of an RFC 3339 stamp in UTC of up to nine digits, as JetStream writes it."""
    whole, _, fraction = stamp.removesuffix("Z").partition(".")
    return datetime.fromisoformat(f"{whole}+00:00").timestamp() + float(f"0.{fraction or 0}")


async def measure(options: argparse.Namespace, folder: Path) -> Figures:
    """Milliseconds from the commit to the install, over all proxies and changes."""
    each = -(-options.proxies // options.processes)
    starts = range(0, options.proxies, each)
    async with control_plane(folder, SERVICE, PORT) as mesh:
        jobs = [
            mesh.job("sidecar", start, min(each, options.proxies - start), host=HOST)
            for start in starts
        ]
        await mesh.apply(ours.named_route(SERVICE, 0))
        async with crowd(jobs, folder) as followers:
            await asyncio.gather(*(some.event("ready") for some in followers))
            pids = [some.process.pid for some in followers]
            before, began = sum(map(machine.cpu_seconds_of, pids)), time.monotonic()
            seconds = [
                taken
                for version in range(1, options.changes + 1)
                for taken in await _change(mesh, followers, version)
            ]
            used = sum(map(machine.cpu_seconds_of, pids)) - before
            lasted = time.monotonic() - began
    return {
        "p50_ms": milliseconds(percentile(seconds, 50)),
        "p99_ms": milliseconds(percentile(seconds, 99)),
        "longest_ms": milliseconds(max(seconds)),
        "first_ms": milliseconds(min(seconds)),
        "proxies": options.proxies,
        "processes": len(jobs),
        "changes": options.changes,
        "installs": len(seconds),
        "proxies_cpu_percent": round(used / lasted * 100, 1),
    }


async def _change(mesh: ControlPlane, followers: Sequence[Followers], version: int) -> list[float]:
    """Applies a version; how long each proxy took from its commit, in seconds."""
    await asyncio.sleep(PAUSE_SECONDS)
    await mesh.apply(ours.named_route(SERVICE, version))
    installed = await asyncio.gather(*(some.installed(f"v{version}") for some in followers))
    committed = await _committed_at(mesh)
    return [at - committed for times in installed for at in times]


async def _committed_at(mesh: ControlPlane) -> float:
    """The Unix time at which the policy of this measurement was stored last."""
    stream = mesh.subjects.stream(Bucket.POLICIES)
    key = keys.document("VirtualService", "default", ours.NAME)
    value = mesh.subjects.value(Bucket.POLICIES, key)
    subject = f"$JS.API.DIRECT.GET.{stream}.{value}"
    answer = await mesh.evaluator.request(subject, timeout=_READ_SECONDS)
    return unix_time(answer.headers[_STAMP])


def missed(found: Figures) -> list[str]:
    """Which targets are missed, in sentences."""
    if (p99 := number(found, "p99_ms")) <= TARGET_MS:
        return []
    return [f"p99_ms is {p99:g}, at most {TARGET_MS:g} is the target"]


COMMAND = Command(
    name="propagation",
    says="Measures how long a change takes from its commit to a thousand simulated proxies.",
    measure=measure,
    missed=missed,
    counts=(
        ("proxies", 1000, "how many simulated proxies"),
        ("processes", 4, "in how many processes"),
        ("changes", 20, "how many changes"),
    ),
    programs=(),
)


def run(arguments: Sequence[str] | None = None) -> int:
    """The command; its exit status."""
    return main(COMMAND, arguments)


if __name__ == "__main__":
    sys.exit(run())
