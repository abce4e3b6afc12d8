"""Whether a sidecar's memory stays: `python -m tulle.load.memory`.

wrk -> gateway -> mTLS -> sidecar with an AuthorizationPolicy -> nginx, telemetry on; each request
has a path, a cookie and a header of its own. PSS of the sidecar's actor (its own pages, and its
share of those that it shares with others) is read after 100,000 requests and after 300,000.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tulle.load import machine, ours, wrk
from tulle.load.contestants import NotReady, actors_of, answers
from tulle.load.figures import Command, Figures, main, number
from tulle.load.pair import CALLER, PATH
from tulle.load.scenarios import SCENARIOS
from tulle.load.workloads import PORT, SERVICE, own_mesh, start_backends

MOST_GROWTH_PERCENT = 3.0
SECONDS = 4  # of a run of wrk
SCENARIO = replace(SCENARIOS["http1-mtls-pair"], path=PATH, varied=True)


class Load:
    """Runs of wrk, one after the other, and what they add up to."""

    def __init__(self, folder: Path, port: int, seconds: int) -> None:
        self.requests = self.failed = 0
        self._folder = folder
        self._port = port
        self._seconds = seconds

    async def until(self, requests: int) -> None:
        """Returns when so many were answered, failures not counted. Raises `WrkFailed`."""
        while self.requests < requests:
            sample = await wrk.run(self._folder, SCENARIO, self._port, self._seconds)
            self.requests += sample.requests
            self.failed += sample.errors


async def measure(options: argparse.Namespace, folder: Path) -> Figures:
    """PSS and private memory of the sidecar's actor after both numbers of requests, in MB."""
    async with own_mesh() as mesh:
        (workload,) = await start_backends(mesh, folder, 1)
        policies = folder / "memory.yaml"
        policies.write_text(ours.pair_policies(SERVICE, CALLER))
        await mesh.apply(policies)
        port = mesh.ingress[1]
        await answers(port, lambda: None, PATH)
        assert mesh.file is not None  # it is up
        inbound = workload.ports[PORT]
        actors = [p for p in actors_of(mesh.file, 2) if machine.listens(p, inbound)]
        if len(actors) != 1:
            raise NotReady(f"{len(actors)} actors listen on port {inbound}, not one")
        load = Load(folder, port, options.seconds)
        await load.until(options.first)
        first, early = load.requests, machine.memory_of(actors[0])
        await load.until(options.last)
        late = machine.memory_of(actors[0])
    return {
        "first_requests": first,
        "first_pss_mb": early.pss_mb,
        "first_private_mb": early.private_mb,
        "requests": load.requests,
        "pss_mb": late.pss_mb,
        "private_mb": late.private_mb,
        "growth_percent": round((late.pss_mb / early.pss_mb - 1) * 100, 2),
        "failed": load.failed,
    }


def missed(found: Figures) -> list[str]:
    """Which targets are missed, in sentences."""
    sentences = []
    if (growth := number(found, "growth_percent")) > MOST_GROWTH_PERCENT:
        said = f"PSS grew by {growth:g} % from {found['first_requests']} requests to "
        said += f"{found['requests']}, at most {MOST_GROWTH_PERCENT:g} % is promised"
        sentences.append(said)
    if failed := number(found, "failed"):
        sentences.append(f"{failed:.0f} of {found['requests']} requests failed, none may")
    return sentences


COMMAND = Command(
    name="memory",
    says="Measures PSS of a sidecar's actor after many requests and after many more.",
    measure=measure,
    missed=missed,
    counts=(
        ("first", 100_000, "requests before the first reading"),
        ("last", 300_000, "requests before the last reading"),
        ("seconds", SECONDS, "of each run of wrk"),
    ),
    programs=("nginx", "wrk"),
)


def run(arguments: Sequence[str] | None = None) -> int:
    """The command; its exit status."""
    return main(COMMAND, arguments)


if __name__ == "__main__":
    sys.exit(run())
