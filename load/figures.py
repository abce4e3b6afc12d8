"""What the commands that measure one promise share: options, exit status, and the JSON of a result.

A command brings `measure`, which gives its figures by name, and `missed`, which says in sentences
which targets they miss. Figures stand at the top of the JSON, beside `machine`.
"""

import argparse
import asyncio
import json
import math
import sys
import tempfile
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tulle.deploy.errors import Failure
from tulle.load import contestants, machine
from tulle.load.contestants import NotReady
from tulle.load.wrk import WrkFailed

Figures = Mapping[str, object]
APT = "sudo apt-get install --no-install-recommends"
_MOST = 10_000_000


@dataclass(frozen=True, slots=True)
class Command:
    """`python -m tulle.load.<name>`: what it says of itself, and the programs that it starts.

    `measure(options, folder)` measures; `folder` is for files of the measurement and goes
    afterwards. `counts` are options that take whole numbers: name, default, what it is.
    """

    name: str
    says: str
    measure: Callable[[argparse.Namespace, Path], Coroutine[None, None, Figures]]
    missed: Callable[[Figures], list[str]]
    counts: tuple[tuple[str, int, str], ...] = ()
    programs: tuple[str, ...] = ("nginx",)


def main(command: Command, arguments: Sequence[str] | None = None) -> int:
    """Runs it; the exit status: 0 all kept, 1 a target is missed or not measured, 2 usage."""
    options = parse(command, arguments)
    if lacking := contestants.missing(command.programs):
        print(f"not installed: {', '.join(lacking)}\n  {APT} {' '.join(lacking)}", file=sys.stderr)
        return 2
    try:
        with tempfile.TemporaryDirectory(prefix="tulle-load-") as name:
            found = asyncio.run(command.measure(options, Path(name)))
    except (Failure, NotReady, WrkFailed, OSError) as error:  # TimeoutError is an OSError
        print(f"not measured: {error or 'not ready in time'}", file=sys.stderr)
        return 1
    print(json.dumps(found, indent=1))
    if options.json is not None:
        keep(options.json, found)
    sentences = command.missed(found)
    for sentence in sentences:
        print(f"the target is missed: {sentence}", file=sys.stderr)
    return 1 if sentences else 0


def parse(command: Command, arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options; exits with 2 and a sentence when they can't be meant."""
    prog = f"python -m tulle.load.{command.name}"
    parser = argparse.ArgumentParser(
        prog=prog, description=command.says, epilog=f"Example: {prog} --json {command.name}.json"
    )
    for name, default, meaning in command.counts:
        parser.add_argument(
            f"--{name}", type=_count, default=default, help=f"{meaning}; default: {default}"
        )
    parser.add_argument("--json", type=Path, metavar="FILE", help="keeps the figures there as well")
    return parser.parse_args(arguments)


def keep(file: Path, found: Figures) -> None:
    """Writes figures, and the machine that they were measured on, as JSON. Raises OSError."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({**found, "machine": machine.describe()}, indent=1) + "\n")


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest of `values` that `percent` % of them do not exceed (nearest rank).

    Raises ValueError without values.
    """
    if not values:
        raise ValueError("of no values there is no percentile")
    return sorted(values)[max(0, math.ceil(len(values) * percent / 100) - 1)]


def milliseconds(seconds: float) -> float:
    """As figures have it: three digits behind the point."""
    return round(seconds * 1_000, 3)


def number(found: Figures, name: str) -> float:
    """The figure of that name. Raises TypeError when it is no number."""
    value = found[name]
    if not isinstance(value, int | float):
        raise TypeError(f"{name} is {value!r}, no number")
    return value


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= _MOST):
        raise argparse.ArgumentTypeError(f"{text!r}: a whole number from 1 to {_MOST}")
    return int(text)
