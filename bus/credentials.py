"""Who a connection is: a NATS user, its JWT, the seed that proves it, and where the server is.

Written by `server.py` as `creds/<role>.json`, by the supervisor as `proxies/<id>/nats.json`, by
`tulle runner add`; all 0600, read by whoever connects. The JWT says what the user may do; its
subject is the key of the seed, which never leaves the file's owner.
"""

import base64
import os
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from tulle.bus import jwt, nkeys
from tulle.bus.keys import encode_token

_CREDS = """\
-----BEGIN NATS USER JWT-----
{jwt}
------END NATS USER JWT------

Replies go to subjects below {inbox}: give your client this inbox prefix.
************************* IMPORTANT *************************
NKEY Seed printed below can be used to sign and prove identity.
NKEYs are sensitive and should be treated as secrets.

-----BEGIN USER NKEY SEED-----
{seed}
------END USER NKEY SEED------

*************************************************************
"""


@dataclass(frozen=True, slots=True)
class Credentials:
    """A NATS user. Its replies arrive below `inbox`, which no other user may read."""

    url: str
    user: str
    jwt: str = field(repr=False)
    seed: str = field(repr=False)

    @property
    def inbox(self) -> str:
        """The prefix of this user's reply subjects."""
        return inbox_prefix(self.user)

    @property
    def key(self) -> nkeys.KeyPair:
        """The user's key pair. Raises `ValueError` when the seed is none."""
        return nkeys.from_seed(self.seed, nkeys.Kind.USER)

    def jwt_bytes(self) -> bytearray:
        """The JWT as nats-py wants it."""
        return bytearray(self.jwt.encode())

    def sign(self, nonce: str) -> bytes:
        """What the server wants to see: its nonce, signed by the user, in base64."""
        return base64.b64encode(self.key.sign(nonce.encode()))

    @classmethod
    def read(cls, path: Path) -> "Credentials":
        """The credentials in `path`. Raises `ValueError` naming the file, or `OSError`."""
        try:
            fields = orjson.loads(path.read_bytes())
            found = cls(*(str(fields[name]) for name in ("url", "user", "jwt", "seed")))
            key, said = found.key, jwt.claims(found.jwt)
        except orjson.JSONDecodeError:
            raise ValueError(f"{path} holds no credentials of a mesh: it is not JSON") from None
        except KeyError as error:
            raise ValueError(f"{path} holds no credentials of a mesh: no {error}") from None
        except (ValueError, TypeError) as error:
            raise ValueError(f"{path} holds no credentials of a mesh: {error}") from None
        if said.get("sub") != key.public:
            raise ValueError(f"{path} holds no credentials of a mesh: JWT and seed differ")
        return found

    def write(self, path: Path) -> None:
        """Writes the file in one step, readable by its owner alone."""
        fields = {"url": self.url, "user": self.user, "jwt": self.jwt, "seed": self.seed}
        write_secret(path, orjson.dumps(fields))

    def write_creds(self, path: Path) -> None:
        """Writes it once more, in the form that NATS's own tools and all its clients read."""
        text = _CREDS.format(jwt=self.jwt, seed=self.seed, inbox=self.inbox)
        write_secret(path, text.encode())


def inbox_prefix(user: str) -> str:
    """Where replies to `user` go."""
    return f"_INBOX.{encode_token(user)}"


def write_secret(path: Path, data: bytes) -> None:
    """Writes `data` to `path` with mode 0600 from its first byte on, replacing it in one step."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
