"""What a mesh costs that nobody uses: `python -m tulle.load.idle`.

A mesh of its own with a gateway and some workloads, without a request for half a minute. For each
kind of process: CPU as a share of one core, and how often its threads woke up. A sidecar has served
a request before, so that it holds routes and connections as one in use does.
"""

import argparse
import asyncio
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tulle.bus.messages import Workload
from tulle.deploy.demo import children
from tulle.load import machine
from tulle.load.figures import Command, Figures, main
from tulle.load.workloads import PORT, own_mesh, start_backends

SETTLE_SECONDS = 10.0
APPS = "applications"
_ACTORS = {
    "EvaluatorActor": "evaluator",
    "SupervisorActor": "supervisor",
    "AuthorityActor": "authority",
    "CollectorActor": "collector",
    "ProxyActor": "gateway",
    "IDLE": "ray worker without an actor",
}
_PARTS = (
    ("gcs_server", "ray gcs_server"),
    ("raylet/raylet", "ray raylet"),
    ("runtime_env/agent", "ray runtime env agent"),
    ("dashboard/agent", "ray dashboard agent"),
    ("nats-server", "nats-server"),
    ("tulle.deploy.local", "ray host"),
    ("tulle.deploy.cli up", "tulle up"),
    ("tulle.deploy.cli run", "tulle run"),
)


@dataclass(frozen=True, slots=True)
class Usage:
    """Of all processes of one kind: how many, and what they used in `seconds`."""

    count: int
    cpu_seconds: float
    wakeups: int

    def figures(self, seconds: float) -> dict[str, object]:
        """Per process: percent of a core, and wake-ups per second."""
        return {
            "processes": self.count,
            "cpu_percent_each": round(self.cpu_seconds / seconds / self.count * 100, 3),
            "wakeups_per_second_each": round(self.wakeups / seconds / self.count, 1),
        }


def kind_of(command: str) -> str:
    """What a process is, by its command line with spaces between the arguments."""
    if command.startswith("ray::"):
        title = command.removeprefix("ray::").partition(".")[0].split(" ")[0]
        return _ACTORS.get(title, f"ray {title}")
    return next((kind for part, kind in _PARTS if part in command), APPS)


def by_kind(
    kinds: Mapping[int, str],
    before: Mapping[int, machine.Activity],
    after: Mapping[int, machine.Activity],
) -> dict[str, Usage]:
    """What each kind used between two readings; of processes that are in both."""
    found: dict[str, list[tuple[float, int]]] = defaultdict(list)
    for pid in before.keys() & after.keys():
        used = after[pid].cpu_seconds - before[pid].cpu_seconds
        woken = after[pid].wakeups - before[pid].wakeups
        found[kinds[pid]].append((max(0.0, used), max(0, woken)))
    return {
        kind: Usage(len(some), sum(cpu for cpu, _ in some), sum(woken for _, woken in some))
        for kind, some in sorted(found.items())
    }


async def measure(options: argparse.Namespace, folder: Path) -> Figures:
    """CPU and wake-ups by kind of process, and the sum of all but the applications."""
    async with own_mesh() as mesh:
        workloads = await start_backends(mesh, folder, options.sidecars, calling=True)
        await asyncio.sleep(min(SETTLE_SECONDS, options.seconds))
        kinds = _kinds(children.left_over(mesh.home), workloads)
        before = _read(kinds)
        await asyncio.sleep(options.seconds)
        used = by_kind(kinds, before, _read(kinds))
    ours = [usage for kind, usage in used.items() if kind != APPS]
    return {
        "seconds": options.seconds,
        "sidecar_cpu_percent": used["sidecar"].figures(options.seconds)["cpu_percent_each"],
        "mesh_cpu_percent": round(sum(u.cpu_seconds for u in ours) / options.seconds * 100, 2),
        "mesh_wakeups_per_second": round(sum(u.wakeups for u in ours) / options.seconds, 1),
        "kinds": {kind: usage.figures(options.seconds) for kind, usage in used.items()},
    }


def _kinds(pids: Iterable[int], workloads: Sequence[Workload]) -> dict[int, str]:
    ports = [workload.ports[PORT] for workload in workloads]
    found = {}
    for pid in pids:
        try:
            kind = kind_of(machine.command_of(pid))
            sidecar = kind == "gateway" and any(machine.listens(pid, port) for port in ports)
        except OSError:  # gone
            continue
        found[pid] = "sidecar" if sidecar else kind
    return found


def _read(pids: Iterable[int]) -> dict[int, machine.Activity]:
    found = {}
    for pid in pids:
        try:
            found[pid] = machine.activity_of(pid)
        except OSError:  # gone
            continue
    return found


def missed(_: Figures) -> list[str]:
    """No target is promised: what is found is reported."""
    return []


COMMAND = Command(
    name="idle",
    says="Measures what the processes of a mesh cost that nobody uses.",
    measure=measure,
    missed=missed,
    counts=(
        ("seconds", 30, "how long"),
        ("sidecars", 2, "how many workloads"),
    ),
    programs=("nginx", "curl"),
)


def run(arguments: Sequence[str] | None = None) -> int:
    """The command; its exit status."""
    return main(COMMAND, arguments)


if __name__ == "__main__":
    sys.exit(run())
