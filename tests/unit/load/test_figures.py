import argparse
import json
from pathlib import Path

import pytest

from tulle.load import contestants, figures, machine
from tulle.load.figures import Command, Figures
from tulle.load.propagation import unix_time


async def _measure(options: argparse.Namespace, folder: Path) -> Figures:
    return {"p50_ms": float(options.changes)}


def _missed(found: Figures) -> list[str]:
    return ["too slow"] if figures.number(found, "p50_ms") > 5 else []


COMMAND = Command(
    "example", "An example.", _measure, _missed, (("changes", 3, "how many"),), programs=()
)


def test_figures_are_printed_and_kept_with_the_machine(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "describe", lambda: {"cores": 2})
    file = tmp_path / "results" / "example.json"
    assert figures.main(COMMAND, ["--json", str(file)]) == 0
    assert json.loads(file.read_text()) == {"p50_ms": 3.0, "machine": {"cores": 2}}
    assert json.loads(capsys.readouterr().out) == {"p50_ms": 3.0}


def test_a_missed_target_is_said_and_the_status_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert figures.main(COMMAND, ["--changes", "6"]) == 1
    assert capsys.readouterr().err == "the target is missed: too slow\n"


def test_what_lacks_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(contestants, "missing", lambda programs: ["nginx"])
    assert figures.main(COMMAND, []) == 2
    assert "apt-get install --no-install-recommends nginx" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["0", "-1", "x", "1.5", "99999999999"])
def test_a_count_is_a_whole_number(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        figures.parse(COMMAND, ["--changes", text])
    assert "a whole number from 1" in capsys.readouterr().err


def test_a_percentile_is_the_nearest_rank() -> None:
    hundred = [float(value) for value in range(100, 0, -1)]
    assert [figures.percentile(hundred, percent) for percent in (50, 99, 100)] == [50, 99, 100]
    assert figures.percentile([7.0], 99) == 7.0
    with pytest.raises(ValueError, match="no values"):
        figures.percentile([], 50)


def test_a_stamp_of_jetstream_is_a_unix_time() -> None:
    assert unix_time("1970-01-01T00:00:10.123456789Z") == pytest.approx(10.123456789)
    assert unix_time("1970-01-01T00:00:10Z") == 10.0
