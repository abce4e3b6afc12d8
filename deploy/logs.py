"""Where commands and the mesh's own processes log: stderr, or a file. Lines: `actors.logs`."""

import logging
import sys
from pathlib import Path

from tulle.actors import logs


def start(*, as_json: bool, file: Path | None = None, level: int = logging.INFO) -> None:
    """Sends all records of `tulle.*` to stderr, or to `file`, which is rotated at 5 MB."""
    handler = logging.StreamHandler(sys.stderr) if file is None else logs.file_handler(file)
    logs.send_to(handler, as_json=as_json, level=level)
