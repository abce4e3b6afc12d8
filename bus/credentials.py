"""Who a connection is: the NATS user, its password and where the server is.

Written by `server.py` as `creds/<role>.json` (0600), read by whoever connects.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import orjson


@dataclass(frozen=True, slots=True)
class Credentials:
    """A NATS user. Its replies arrive below `inbox`, which no other user may read."""

    url: str
    user: str
    password: str

    def __repr__(self) -> str:
        return f"Credentials(url={self.url!r}, user={self.user!r})"  # never the password

    @property
    def inbox(self) -> str:
        """The prefix of this user's reply subjects."""
        return inbox_prefix(self.user)

    @classmethod
    def read(cls, path: Path) -> "Credentials":
        """The credentials in `path`. Raises `ValueError` naming the file, or `OSError`."""
        try:
            fields = orjson.loads(path.read_bytes())
            return cls(str(fields["url"]), str(fields["user"]), str(fields["password"]))
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            raise ValueError(f"{path} holds no credentials of a mesh: {error!r}") from None

    def write(self, path: Path) -> None:
        """Writes the file in one step, readable by its owner alone."""
        write_secret(
            path, orjson.dumps({"url": self.url, "user": self.user, "password": self.password})
        )


def inbox_prefix(user: str) -> str:
    """Where replies to `user` go."""
    return f"_INBOX.{user}"


def write_secret(path: Path, data: bytes) -> None:
    """Writes `data` to `path` with mode 0600 from its first byte on, replacing it in one step."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)
    draft.replace(path)
