"""Certificates and keys that users bring: files of this host, or credentials that the mesh holds.

Counterparts: server_tls.py and origination.py, which make TLS contexts of them. Nothing in here
shows a key: not in an error, nor in a representation.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tulle.bus.keeping import CredentialRecord

PEM_BYTES: Final = 1_048_576  # of one file

Stamp = tuple[object, ...]
"""Differs when the material does."""


class Unusable(Exception):
    """The text says which file or credential can't be used, why, and what to do."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where material is: a credential's name, or paths; what is empty is not asked for."""

    credential: str = ""
    certificate: str = ""
    private_key: str = ""
    ca: str = ""

    def __str__(self) -> str:
        if self.credential:
            return f"credential {self.credential}"
        paths = dict.fromkeys(filter(None, (self.certificate, self.private_key, self.ca)))
        return ", ".join(paths)


@dataclass(frozen=True, slots=True)
class Material:
    """PEM; what the source does not have is empty."""

    chain: bytes = b""
    key: bytes = field(default=b"", repr=False)
    ca: bytes = b""


class Materials:
    """Reads sources. Credentials come from the bus, by `install`."""

    def __init__(self) -> None:
        self._credentials: dict[str, CredentialRecord] = {}
        self._changes: dict[str, int] = {}

    def install(self, record: CredentialRecord) -> None:
        """A credential is there, or another one."""
        self._credentials[record.name] = record
        self._changes[record.name] = self._changes.get(record.name, 0) + 1

    def remove(self, name: str) -> None:
        """A credential is there no more."""
        if self._credentials.pop(name, None) is not None:
            self._changes[name] += 1

    def stamp(self, source: Source) -> Stamp:
        """Costs a `stat` per file."""
        if source.credential:
            return (self._changes.get(source.credential, 0),)
        return tuple(map(_file_stamp, (source.certificate, source.private_key, source.ca)))

    def has(self, source: Source) -> bool:
        """Whether it may be read at all: its credential is there, if it names one."""
        return not source.credential or source.credential in self._credentials

    def read(self, source: Source) -> Material:
        """Raises Unusable."""
        if not source.credential:
            paths = (source.certificate, source.private_key, source.ca)
            return Material(*(_read(path) if path else b"" for path in paths))
        record = self._credentials.get(source.credential)
        if record is None:
            raise Unusable(
                f"credential {source.credential} is not there: "
                f"`tulle credential add {source.credential} --cert FILE --key FILE`"
            )
        texts: Sequence[str] = (record.certificate, record.private_key, record.ca)
        return Material(*(text.encode() for text in texts))


def _file_stamp(path: str) -> Stamp:
    try:
        status = os.stat(path) if path else None
    except OSError as error:
        return (error.errno,)
    return (status.st_mtime_ns, status.st_size, status.st_ino) if status else ()


def _read(path: str) -> bytes:
    try:
        with Path(path).open("rb") as file:
            content = file.read(PEM_BYTES + 1)
    except OSError as error:
        raise Unusable(f"{path} can't be read: {error.strerror}") from error
    if len(content) > PEM_BYTES:
        raise Unusable(f"{path} is larger than {PEM_BYTES} bytes: no PEM of a certificate or key")
    return content
