"""Log lines: one `key=value` line each, or one JSON object with `TULLE_LOG=json`.

    time=2026-01-31T12:00:00.123Z level=info at=up msg="NATS is up" port=4222

What `extra={"facts": {...}}` brings becomes keys of its own.
"""

import json
import logging
import logging.handlers
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

LARGEST_FILE = 10 * 1024 * 1024
KEPT_FILES = 3


class LineFormatter(logging.Formatter):
    """One line per record, whatever is in it."""

    def __init__(self, *, as_json: bool) -> None:
        super().__init__()
        self._as_json = as_json

    def format(self, record: logging.LogRecord) -> str:
        """The record's line; an exception is the last key."""
        fields = _fields(record)
        if record.exc_info:
            fields["error"] = self.formatException(record.exc_info)
        if self._as_json:
            return json.dumps(fields, default=str)
        return " ".join(f"{key}={_quoted(value)}" for key, value in fields.items())


def start(*, as_json: bool, file: Path | None = None, level: int = logging.INFO) -> None:
    """Sends all records of `tulle.*` to stderr, or to `file`, which is rotated at 10 MB."""
    handler: logging.Handler
    if file is None:
        handler = logging.StreamHandler(sys.stderr)
    else:
        handler = logging.handlers.RotatingFileHandler(
            file, maxBytes=LARGEST_FILE, backupCount=KEPT_FILES
        )
    handler.setFormatter(LineFormatter(as_json=as_json))
    logger = logging.getLogger("tulle")
    logger.handlers[:] = [handler]
    logger.setLevel(level)
    logger.propagate = False


def _fields(record: logging.LogRecord) -> dict[str, object]:
    moment = datetime.fromtimestamp(record.created, UTC)
    fields: dict[str, object] = {
        "time": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "level": record.levelname.lower(),
        "at": record.name.removeprefix("tulle."),
        "msg": record.getMessage(),
    }
    facts = getattr(record, "facts", None)
    if isinstance(facts, Mapping):
        fields.update(facts)
    return fields


def _quoted(value: object) -> str:
    text = str(value)
    if text and not any(character in ' "=\\' or not character.isprintable() for character in text):
        return text
    return json.dumps(text)
