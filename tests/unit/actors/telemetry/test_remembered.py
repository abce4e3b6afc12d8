"""What a collector remembers, in a file."""

import stat
from pathlib import Path

import pytest

from tulle.actors.telemetry import remembered
from tulle.actors.telemetry.totals import Totals
from tulle.bus.messages import Series, TelemetryBatch


def counted(series: int, proxy: str = "p") -> TelemetryBatch:
    return TelemetryBatch(
        proxy=proxy,
        started=1.5,
        series=[
            Series(name="ms", labels={"code": str(n)}, value=n / 10, buckets=[n, 0])
            for n in range(series)
        ],
    )


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    folder = tmp_path / "telemetry"
    remembered.save(folder, "3", [counted(1), counted(2)])
    remembered.save(folder, "3", [counted(remembered.SERIES_A_LINE + 1), counted(3, "q")])
    totals, expected = Totals(), Totals()
    totals.restore(remembered.load(folder, "3"))
    expected.restore([counted(remembered.SERIES_A_LINE + 1), counted(3, "q")])
    assert list(totals.sums()) == list(expected.sums())
    (path,) = folder.iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_nothing_was_saved_yet(tmp_path: Path) -> None:
    assert remembered.load(tmp_path, "3") == []


@pytest.mark.parametrize("damage", [b"", b"nonsense", None])
def test_what_can_not_be_read_is_told_and_ends_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: bytes | None
) -> None:
    remembered.save(tmp_path, "3", [counted(100), counted(5_000, "q")])
    path = remembered.path_of(tmp_path, "3")
    path.write_bytes(path.read_bytes()[:-100] if damage is None else damage)
    loaded = remembered.load(tmp_path, "3")
    assert ("can't be read" in caplog.text) == (damage != b"")
    assert sum(len(batch.series) for batch in loaded) < 5_100
