"""How fast a policy changes: `python -m tulle.load.change`.

A mesh of its own with a gateway and six workloads; 300 requests/s through the ingress, in an open
loop. One client of NATS, as the operator, sends `api.policy.apply` of a VirtualService that the
gateway and all sidecars hold, and waits for the answer that says `done`. What that answer promises
is checked: a request that leaves after it must be routed by the new version.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tulle.bus.messages import ApplyRequest, PolicyFile
from tulle.deploy.api import Api, connect, new_id
from tulle.deploy.demo.mesh import OwnMesh
from tulle.deploy.errors import Failure
from tulle.deploy.settings import Settings
from tulle.load import ours
from tulle.load.contestants import answers
from tulle.load.figures import Command, Figures, main, milliseconds, number, percentile
from tulle.load.scenarios import HOST
from tulle.load.steady import Answer, Judge, Steady, served, steady
from tulle.load.workloads import SERVICE, own_mesh, start_backends

P50_MS, P99_MS = 50.0, 200.0
VERSION = "x-version"
WAIT_SECONDS = 10.0
PAUSE_SECONDS = 0.2


class Changes:
    """Applies version after version of the routes and remembers which is in force."""

    def __init__(self, api: Api) -> None:
        self.seconds: list[float] = []
        self.applied = 0  # the version that all have, as the mesh said
        self._api = api

    async def make(self) -> None:
        """One change, from the request to the answer that all applied it. Raises `Failure`."""
        version = self.applied + 1
        file = PolicyFile(name="change.yaml", text=ours.versioned(SERVICE, VERSION, version))
        request = ApplyRequest(id=new_id(), files=[file], wait_seconds=WAIT_SECONDS)
        subject = self._api.subjects.api_policy("apply")
        began = time.monotonic()
        async for answer in self._api.follow(subject, request, WAIT_SECONDS):
            if answer.done and not answer.ok:
                raise Failure(f"change {version}: {[p.message for p in answer.problems]}")
        self.seconds.append(time.monotonic() - began)
        self.applied = version

    def judge(self) -> Judge:
        """For a request that leaves now: it must be served by this version or a later one."""
        least = self.applied

        def wrong(answer: Answer) -> str:
            if said := served(answer):
                return said
            version = int(answer.header(VERSION) or 0)
            return "" if version >= least else f"version {version} after {least} was applied"

        return wrong


async def measure(options: argparse.Namespace, folder: Path) -> Figures:
    """The figures of the module's first paragraph; milliseconds."""
    async with own_mesh() as mesh:
        await start_backends(mesh, folder, options.sidecars, calling=True)
        async with connect(Settings(mesh.home)) as api:
            return await _under_load(mesh, Changes(api), options)


async def _under_load(mesh: OwnMesh, changes: Changes, options: argparse.Namespace) -> Figures:
    await changes.make()
    port = mesh.ingress[1]
    await answers(port, lambda: None)
    changes.seconds.clear()
    async with steady(Steady(port, HOST, "/", options.rate, changes.judge)) as seen:
        for _ in range(options.changes):
            await asyncio.sleep(PAUSE_SECONDS)
            await changes.make()
    if seen.failures:
        print(dict(seen.failures), file=sys.stderr)
    return {
        "p50_ms": milliseconds(percentile(changes.seconds, 50)),
        "p99_ms": milliseconds(percentile(changes.seconds, 99)),
        "changes": len(changes.seconds),
        "requests": seen.sent,
        "failed": seen.failed,
        "longest_ms": milliseconds(max(changes.seconds)),
        "proxies": len((await mesh.status()).proxies),
        "requests_per_second": options.rate,
        "request_p50_ms": milliseconds(percentile(seen.seconds, 50)),
        "request_p99_ms": milliseconds(percentile(seen.seconds, 99)),
    }


def missed(found: Figures) -> list[str]:
    """Which targets are missed, in sentences."""
    sentences = [
        f"{name} is {number(found, name)}, at most {target:g} is promised"
        for name, target in (("p50_ms", P50_MS), ("p99_ms", P99_MS))
        if number(found, name) >= target
    ]
    if failed := number(found, "failed"):
        sentences.append(f"{failed:.0f} of {found['requests']} requests failed, none may")
    return sentences


COMMAND = Command(
    name="change",
    says="Measures how long a policy change takes from a NATS client to all proxies, under load.",
    measure=measure,
    missed=missed,
    counts=(
        ("changes", 100, "how many changes"),
        ("rate", 300, "requests per second meanwhile"),
        ("sidecars", 6, "how many workloads"),
    ),
    programs=("nginx", "curl"),
)


def run(arguments: Sequence[str] | None = None) -> int:
    """The command; its exit status."""
    return main(COMMAND, arguments)


if __name__ == "__main__":
    sys.exit(run())
