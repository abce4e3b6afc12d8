import io

from rich.console import Console

from tulle.deploy.demo.checks import Check
from tulle.deploy.demo.report import Lines, LiveTable, Result, print_result

GOOD = Check(0, "tulle up", True, "ready in 15 s", "9.1 s", 9.1)
BAD = Check(2, "canary [90/10]", False, "v1 90%", "v1 400", 10.5)


def console(terminal: bool = False) -> tuple[Console, io.StringIO]:
    text = io.StringIO()
    return Console(file=text, width=120, force_terminal=terminal, color_system=None), text


def test_the_json_form_is_the_documented_one() -> None:
    result = Result(False, 71.24, 2600, 3, (GOOD, BAD))
    assert result.as_json() == {
        "ok": False,
        "seconds": 71.2,
        "requests": {"sent": 2600, "failed": 3, "lost": 0},
        "checks": [
            {
                "step": 0,
                "name": "tulle up",
                "ok": True,
                "expected": "ready in 15 s",
                "seen": "9.1 s",
                "seconds": 9.1,
            },
            {
                "step": 2,
                "name": "canary [90/10]",
                "ok": False,
                "expected": "v1 90%",
                "seen": "v1 400",
                "seconds": 10.5,
            },
        ],
    }


def test_off_a_terminal_there_is_a_line_per_check() -> None:
    screen, text = console()
    with Lines(screen) as lines:
        for check in (GOOD, BAD):
            lines.started(check.step, check.name, check.expected)
            lines.ended(check)
    assert text.getvalue().splitlines() == [
        "ok   - tulle up: 9.1 s [9.1 s]",
        "FAIL 2 canary [90/10]: v1 400 (expected: v1 90%) [10.5 s]",
    ]


def test_a_terminal_shows_what_runs_and_what_is_done() -> None:
    screen, text = console(terminal=True)
    with LiveTable(screen) as live:
        live.ended(GOOD)
        live.started(2, "canary [90/10]", "v1 90%")
    assert "9.1 s" in text.getvalue()
    assert "canary [90/10]" in text.getvalue()


def test_the_result_ends_with_a_verdict() -> None:
    screen, text = console()
    print_result(screen, Result(False, 71.2, 2600, 3, (GOOD, BAD)))
    assert "FAILED: v1 400" in text.getvalue()
    last = text.getvalue().splitlines()[-1]
    assert last == "NOT every check held; 2600 requests sent, 3 failed; 71 s"
