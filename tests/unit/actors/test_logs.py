"""Log lines: one per record, whatever is in it; files that are private and have a bound."""

import json
import logging
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tulle.actors import logs
from tulle.actors.logs import LineFormatter, Repeats


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[str]:
    """Where an actor may log to; afterwards logging is as it was."""
    logger = logging.getLogger(logs.ROOT)
    before = logger.handlers[:], logger.level, logger.propagate
    logger.handlers[:] = []
    yield str(tmp_path)
    for handler in logger.handlers:
        handler.close()
    logger.handlers[:], logger.level, logger.propagate = before


def record(message: str, **facts: object) -> logging.LogRecord:
    made = logging.LogRecord("tulle.up", logging.INFO, "f.py", 1, message, None, None)
    made.created = 1_700_000_000.5
    made.facts = facts
    return made


def test_a_line_is_keys_and_values() -> None:
    line = LineFormatter(as_json=False).format(record("NATS is up", port=4222, why="a b"))

    assert line == (
        'time=2023-11-14T22:13:20.500Z level=info at=up msg="NATS is up" port=4222 why="a b"'
    )


def test_a_line_is_a_json_object() -> None:
    line = LineFormatter(as_json=True).format(record("NATS is up", port=4222))

    assert json.loads(line) == {
        "time": "2023-11-14T22:13:20.500Z",
        "level": "info",
        "at": "up",
        "msg": "NATS is up",
        "port": 4222,
    }


@pytest.mark.parametrize("as_json", [True, False])
def test_no_message_makes_two_lines(as_json: bool) -> None:
    made = record("first\nlevel=error")
    try:
        raise ValueError("a\nb")
    except ValueError as error:
        made.exc_info = (ValueError, error, error.__traceback__)

    assert "\n" not in LineFormatter(as_json=as_json).format(made)


def test_an_actor_logs_into_its_own_private_file(folder: str) -> None:
    logs.start("tulle-proxy-a", folder)
    logging.getLogger("tulle.actors.proxy").info("here")

    path = Path(folder) / "tulle-proxy-a.log"
    assert "at=actors.proxy msg=here" in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert logs.where() == str(path)


def test_a_file_has_a_bound(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "LARGEST_FILE", 200)
    logs.start("a", folder, as_json=True)
    for number in range(10):
        logging.getLogger("tulle.a").info("line %d", number)

    assert sorted(os.listdir(folder)) == ["a.log", "a.log.1"]
    last = (Path(folder) / "a.log").read_text().splitlines()[-1]
    assert json.loads(last)["msg"] == "line 9"


def test_without_a_folder_nothing_changes(folder: str) -> None:
    before = logging.getLogger(logs.ROOT).handlers[:]
    logs.start("a", "")
    assert logging.getLogger(logs.ROOT).handlers == before


def test_what_repeats_itself_is_thinned_out() -> None:
    now = 0.0
    repeats = Repeats(most=2, seconds=60, clock=lambda: now)

    assert [repeats.filter(record(f"by {n}")) for n in range(5)] == [
        True,
        True,
        False,
        False,
        False,
    ]
    now = 61.0
    said = record("by 6")
    assert repeats.filter(said) and "left_out=3" in LineFormatter(as_json=False).format(said)


def test_old_logs_of_those_who_are_gone_are_removed(tmp_path: Path) -> None:
    for age, name in enumerate(["new.log", "b.log", "b.log.1", "living.log", "old.log"]):
        path = tmp_path / f"tulle-proxy-{name}"
        path.touch()
        os.utime(path, (1000 - age, 1000 - age))
    (tmp_path / "tulle-evaluator-1.log").touch()

    logs.remove_old(tmp_path, "tulle-proxy-", {"tulle-proxy-living"}, keep=1)

    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == ["tulle-evaluator-1.log", "tulle-proxy-living.log", "tulle-proxy-new.log"]
