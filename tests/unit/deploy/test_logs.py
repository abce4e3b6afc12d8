"""Log lines: one per record, whatever is in it."""

import json
import logging

import pytest

from tulle.deploy.logs import LineFormatter


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
