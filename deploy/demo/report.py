"""How the demo is shown: a live table on a terminal, a line per check elsewhere, or JSON.

Counterpart: checks.py calls `started` and `ended`; main.py asks for the result at the end.
"""

from dataclasses import asdict, dataclass

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from tulle.deploy.demo.checks import Check
from tulle.deploy.demo.steps import STEPS


@dataclass(frozen=True, slots=True)
class Result:
    """The whole demo. Its JSON form is what `tulle demo --json` prints.

    `lost`: requests in flight in a gateway that the demo killed; they have not failed.
    """

    ok: bool
    seconds: float
    sent: int
    failed: int
    checks: tuple[Check, ...]
    lost: int = 0

    def as_json(self) -> dict[str, object]:
        """`{ok, seconds, requests: {sent, failed, lost}, checks: [...]}`"""
        return {
            "ok": self.ok,
            "seconds": round(self.seconds, 1),
            "requests": {"sent": self.sent, "failed": self.failed, "lost": self.lost},
            "checks": [asdict(check) for check in self.checks],
        }


class Lines:
    """A line per check, as soon as it is known."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def __enter__(self) -> "Lines":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def started(self, step: int, name: str, expected: str) -> None:
        """Nothing is said before there is something to say."""

    def ended(self, check: Check) -> None:
        """Prints the check."""
        line = (
            f"{'ok  ' if check.ok else 'FAIL'} {check.step or '-'} {check.name}: {check.seen}"
            + ("" if check.ok else f" (expected: {check.expected})")
            + f" [{check.seconds:.1f} s]"
        )
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)


class LiveTable:
    """The table of checks as it grows; the check that runs is its last row."""

    def __init__(self, console: Console) -> None:
        self._done: list[Check] = []
        self._running: tuple[int, str, str] | None = None
        self._live = Live(console=console, refresh_per_second=4, transient=True)

    def __enter__(self) -> "LiveTable":
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def started(self, step: int, name: str, expected: str) -> None:
        """Adds the row of a check that runs."""
        self._running = (step, name, expected)
        self._show()

    def ended(self, check: Check) -> None:
        """Turns the running row into its result."""
        self._done.append(check)
        self._running = None
        self._show()

    def _show(self) -> None:
        grown = table(self._done)
        if self._running is not None:
            step, name, expected = self._running
            grown.add_row(_step(step), Text(name), Text(expected), Text("..."), "")
        self._live.update(grown)


def table(checks: list[Check]) -> Table:
    """The checks as a table."""
    shown = Table("step", "check", "expected", "seen", "seconds", show_edge=False)
    shown.columns[-1].justify = "right"
    for check in checks:
        style = "green" if check.ok else "bold red"
        mark = "" if check.ok else "FAILED: "
        shown.add_row(
            _step(check.step),
            Text(check.name),
            Text(check.expected),
            Text(f"{mark}{check.seen}", style=style),
            f"{check.seconds:.1f}",
        )
    return shown


def print_result(console: Console, result: Result) -> None:
    """The result table, then one line."""
    console.print(table(list(result.checks)))
    titles = {check.step: STEPS[check.step].title for check in result.checks if check.step}
    for number, title in titles.items():
        well = all(check.ok for check in result.checks if check.step == number)
        console.print(f"step {number}: {title}: {'ok' if well else 'FAILED'}", highlight=False)
    verdict = "every check held" if result.ok else "NOT every check held"
    lost = f", {result.lost} lost in what was killed" if result.lost else ""
    requests = f"{result.sent} requests sent, {result.failed} failed{lost}"
    console.print(f"{verdict}; {requests}; {result.seconds:.0f} s", highlight=False)


def _step(number: int) -> str:
    return str(number) if number else "-"
