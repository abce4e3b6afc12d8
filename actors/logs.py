"""Log lines of a process of the mesh: one `key=value` line each, or one JSON object.

    time=2026-01-31T12:00:00.123Z level=info at=up msg="NATS is up" port=4222

What `extra={"facts": {...}}` brings becomes keys of its own. Actors call `start` first of all;
`deploy.logs` does the same for commands. What repeats itself without end is thinned out, so that
nothing that comes from outside can fill a log.
"""

import json
import logging
import logging.handlers
import os
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Final

LARGEST_FILE: Final = 5 * 1024 * 1024
KEPT_FILES: Final = 1
"""How many full files are kept beside the one that is written."""

REPEATS: Final = 20
REPEATS_SECONDS: Final = 60.0
"""One statement of the program logs `REPEATS` lines in so many seconds at most."""

ROOT: Final = "tulle"


def start(name: str, folder: str, *, as_json: bool = False) -> None:
    """Sends all records of `tulle.*` to `<folder>/<name>.log`, 0600, rotated at 5 MB.

    Without a `folder` nothing changes: an actor in a test's own process logs where the test does.
    """
    if not folder:
        return
    try:
        handler = file_handler(Path(folder) / f"{name}.log")
    except OSError as error:
        # An actor without a log is better than none.
        logging.getLogger(__name__).warning("no log file: %s", error)
    else:
        send_to(handler, as_json=as_json)


def send_to(handler: logging.Handler, *, as_json: bool, level: int = logging.INFO) -> None:
    """Sends all records of `tulle.*` to `handler` and nowhere else."""
    handler.setFormatter(LineFormatter(as_json=as_json))
    handler.addFilter(Repeats())
    logger = logging.getLogger(ROOT)
    for old in logger.handlers[:]:
        logger.removeHandler(old)
        old.close()
    logger.addHandler(handler)
    logger.setLevel(level)
    logger.propagate = False


def file_handler(path: Path) -> logging.Handler:
    """A file that is rotated at 5 MB and that only its owner reads. Raises `OSError`."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return _PrivateFile(path, maxBytes=LARGEST_FILE, backupCount=KEPT_FILES, encoding="utf-8")


def where() -> str:
    """Which file this process logs to, for a sentence that says where more is to be found."""
    for handler in logging.getLogger(ROOT).handlers:
        if isinstance(handler, logging.FileHandler):
            return handler.baseFilename
    return "its log"


def remove_old(folder: Path, prefix: str, living: Collection[str], keep: int) -> None:
    """Removes all but the newest `keep` logs named `<prefix>...` of actors not in `living`."""
    names = {path.name.partition(".log")[0] for path in folder.glob(f"{prefix}*.log*")}
    gone = [folder / f"{name}.log" for name in names.difference(living)]
    for path in sorted(gone, key=_written, reverse=True)[keep:]:
        for rotated in folder.glob(f"{path.name}*"):
            rotated.unlink(missing_ok=True)


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


class Repeats(logging.Filter):
    """Lets through the first lines of each statement in each minute; the next says what is missing.

    A statement is a place in the program, so what it is told by others makes no difference.
    """

    def __init__(
        self,
        most: int = REPEATS,
        seconds: float = REPEATS_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self._most = most
        self._seconds = seconds
        self._clock = clock
        self._counts: dict[tuple[str, int], tuple[float, int]] = {}  # since when, how many

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is written."""
        now, place = self._clock(), (record.pathname, record.lineno)
        since, count = self._counts.get(place, (now, 0))
        if now - since >= self._seconds:
            _add_fact(record, "left_out", count - self._most)
            since, count = now, 0
        self._counts[place] = since, count + 1
        return count < self._most


class _PrivateFile(logging.handlers.RotatingFileHandler):
    def _open(self) -> IO[str]:  # type: ignore[override]  # narrower than typeshed's
        return open(self.baseFilename, self.mode, encoding=self.encoding, opener=_open_private)


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


def _written(path: Path) -> float:
    with suppress(OSError):
        return path.stat().st_mtime
    return 0.0


def _add_fact(record: logging.LogRecord, key: str, count: int) -> None:
    if count > 0:
        record.facts = {**_facts(record), key: count}


def _facts(record: logging.LogRecord) -> Mapping[str, object]:
    facts = getattr(record, "facts", None)
    return facts if isinstance(facts, Mapping) else {}


def _fields(record: logging.LogRecord) -> dict[str, object]:
    moment = datetime.fromtimestamp(record.created, UTC)
    return {
        "time": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "level": record.levelname.lower(),
        "at": record.name.removeprefix(f"{ROOT}."),
        "msg": record.getMessage(),
        **_facts(record),
    }


def _quoted(value: object) -> str:
    text = str(value)
    if text and not any(character in ' "=\\' or not character.isprintable() for character in text):
        return text
    return json.dumps(text)
