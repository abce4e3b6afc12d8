"""The secrets in a mesh's folder, and where they may not be."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

from tulle.actors.authority.tickets import Ticket, make_ticket

_PEM_KEY = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----\n(.+?)\n", re.DOTALL)
_TICKET = make_ticket(b"", Ticket("", "", "", 0.0)).encode()[:12]  # every one begins so


def secrets_of(folder: Path) -> dict[bytes, Path]:
    """Secret -> the file that has it: seeds of NATS users, private keys, the ticket key.

    The beginning that all tickets have is among them.
    """
    found = {secret: path for path in _files(folder) for secret in _secrets(path)}
    return found | {_TICKET: folder}


def _files(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink() and path.stat().st_size < 1_000_000:
            yield path


def _secrets(path: Path) -> Iterator[bytes]:
    content = path.read_bytes()
    if path.name == "ticket.key":
        yield content.strip()
    yield from _PEM_KEY.findall(content)
    if path.suffix == ".json" and b'"seed"' in content:
        yield json.loads(content)["seed"].encode()


def leaks(secrets: dict[bytes, Path], where: str, text: bytes) -> list[str]:
    """`<where> has a secret of <file>` for each that is in `text`."""
    return [f"{where} has a secret of {path}" for secret, path in secrets.items() if secret in text]
