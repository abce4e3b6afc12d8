"""What a shard is across restarts of its collector: all lives and what ended ones had counted.

A file for each shard, written in one step, a JSON object a line (gzip): a `TelemetryBatch` each.
Proxies that live say all of it again; it is for those that don't any more. Counterpart: shard.py.
"""

import gzip
import logging
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final
from zlib import error as ZlibError

import orjson

from tulle.bus import codec
from tulle.bus.errors import Undecodable
from tulle.bus.messages import TelemetryBatch

SERIES_A_LINE: Final = 2_000

log = logging.getLogger(__name__)


def path_of(folder: Path, shard: str) -> Path:
    """The file of a shard."""
    return folder / f"{shard}.jsonl.gz"


def load(folder: Path, shard: str) -> list[TelemetryBatch]:
    """What was saved; what can't be read of it is told and left out."""
    path = path_of(folder, shard)
    batches: list[TelemetryBatch] = []
    try:
        with gzip.open(path, "rb") as file:
            batches.extend(codec.decode(TelemetryBatch, line) for line in file)
    except FileNotFoundError:
        pass
    except (OSError, EOFError, ZlibError, Undecodable) as error:
        log.warning("what was counted before can't be read: path=%s error=%s", path, error)
    return batches


def save(folder: Path, shard: str, batches: Iterable[TelemetryBatch]) -> None:
    """Replaces what was saved, 0600. Raises OSError."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = path_of(folder, shard)
    new = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as raw:
        with gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=1, filename="") as file:
            for line in _lines(batches):
                file.write(line)
        raw.flush()
        os.fsync(raw.fileno())
    new.replace(path)


def _lines(batches: Iterable[TelemetryBatch]) -> Iterator[bytes]:
    for batch in batches:
        for start in range(0, len(batch.series), SERIES_A_LINE):
            part = batch.model_copy(update={"series": batch.series[start : start + SERIES_A_LINE]})
            yield orjson.dumps(part.model_dump(mode="json")) + b"\n"
