"""What a proxy has in use, on its own disk: a restart serves by it when NATS is away.

A file per key in `proxies/<id>/config/` (0700; files 0600, since credentials are among them): each
value is complete in itself, so files need not change together. A file is replaced in one step and
carries its own digest: what was cut short, or is of another format, is dropped and read from NATS.
No fsync: a file that a power failure leaves half written has no digest that fits.

Counterpart: machine.py, which says what to keep and what a restored value is good for.
"""

import asyncio
import contextlib
import hashlib
import logging
import os
from pathlib import Path
from typing import Final

import orjson

from tulle.actors.proxy.events import Discard, Keep, Kept, Ref
from tulle.actors.proxy.needs import decode
from tulle.bus.subjects import Bucket

FOLDER: Final = "config"
FORMAT: Final = 1
MAX_FILE: Final = 8 * 1024 * 1024 + 4096
"""Bytes: the largest value that NATS carries here, and a header."""
MAX_TOTAL: Final = 256 * 1024 * 1024
_DIGEST: Final = 64  # hexadecimal digits

log = logging.getLogger(__name__)


class LastGood:
    """The kept config of one proxy. `load` once, at the start; then `keep` and `discard`."""

    def __init__(self, proxy_folder: Path) -> None:
        self._folder = proxy_folder / FOLDER
        self._pending: dict[Ref, Keep | Discard] = {}  # the newest of each is enough
        self._writing: asyncio.Task[None] | None = None

    def load(self) -> tuple[Kept, ...]:
        """All that can be used. Blocking. What can't is removed, with a sentence in the log."""
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            files = [(path, path.stat().st_size) for path in sorted(self._folder.iterdir())]
        except OSError as error:
            log.warning("the kept config can't be read, NATS is asked: error=%s", error)
            return ()
        if (size := sum(size for _, size in files)) > MAX_TOTAL:
            log.warning("%d bytes of kept config are too many to be read: NATS is asked", size)
            return ()
        found = (_load(path) for path, _ in files)
        return tuple(kept for kept in found if kept is not None)

    def write(self, entry: Keep | Discard) -> None:
        """Carries it out soon, off the loop. Never raises: what can't be written is logged."""
        self._pending[entry.ref] = entry
        if self._writing is None:
            self._writing = asyncio.get_running_loop().create_task(self._write_all())

    async def flush(self) -> None:
        """Returns when all is written."""
        if self._writing is not None:
            await self._writing

    async def _write_all(self) -> None:
        try:
            while self._pending:
                entries, self._pending = list(self._pending.values()), {}
                await asyncio.to_thread(self._carry_out, entries)
        finally:
            self._writing = None

    def _carry_out(self, entries: list[Keep | Discard]) -> None:
        for entry in entries:
            path = self._folder / _file_name(entry.ref)
            try:
                if isinstance(entry, Keep):
                    _replace(path, _form(entry))
                else:
                    path.unlink(missing_ok=True)
            except OSError as error:
                log.warning("not kept for the next start: key=%s error=%s", entry.ref, error)
                # Nothing is better than what is not in force any more.
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)


def _file_name(ref: Ref) -> str:
    """A key may be longer than a file's name."""
    return hashlib.sha256(str(ref).encode()).hexdigest()[:32]


def _form(entry: Keep) -> bytes:
    """A digest of the rest, a line of JSON, the value as it was on the bus."""
    header = {
        "v": FORMAT,
        "bucket": entry.ref.bucket.value,
        "key": entry.ref.key,
        "epoch": entry.epoch,
        "revision": entry.revision,
        "exists": entry.value is not None,
    }
    rest = orjson.dumps(header) + b"\n" + (entry.value or b"")
    return hashlib.sha256(rest).hexdigest().encode() + b"\n" + rest


def _load(path: Path) -> Kept | None:
    if path.name.startswith("."):  # the draft of a proxy that was killed
        path.unlink(missing_ok=True)
        return None
    try:
        return _read(path)
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("a kept config is dropped, NATS is asked: file=%s error=%s", path, error)
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
        return None


def _read(path: Path) -> Kept:
    """Raises `OSError`, or `ValueError` and the like when this version can't use it."""
    with path.open("rb") as file:
        content = file.read(MAX_FILE + 1)
    if len(content) > MAX_FILE:
        raise ValueError(f"it is larger than {MAX_FILE} bytes")
    digest, rest = content[:_DIGEST], content[_DIGEST + 1 :]
    if hashlib.sha256(rest).hexdigest().encode() != digest:
        raise ValueError("it is damaged")
    line, _, value = rest.partition(b"\n")
    header = orjson.loads(line)
    if header["v"] != FORMAT:
        raise ValueError(f"it has format {header['v']}, this version of tulle reads {FORMAT}")
    ref = Ref(Bucket(header["bucket"]), str(header["key"]))
    what = decode(ref, value) if header["exists"] else None
    return Kept(ref, str(header["epoch"]), int(header["revision"]), what)


def _replace(path: Path, content: bytes) -> None:
    draft = path.with_name(f".{path.name}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    with os.fdopen(os.open(draft, flags, 0o600), "wb") as file:
        file.write(content)
    draft.replace(path)
