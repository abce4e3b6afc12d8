"""Who makes the users of a mesh's NATS: three keys on disk, and what is signed with them.

`<mesh>/nats/keys.json` (0600) is made at the first start of the server and never again: users that
were made with it get in for as long as it is there. It is for the starter of the server and the
supervisor alone; whoever reads it may be anyone.
"""

import secrets
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson

from tulle.bus import jwt, nkeys
from tulle.bus.connection import connect
from tulle.bus.credentials import Credentials, write_secret
from tulle.bus.errors import StoreRefused
from tulle.bus.nkeys import KeyPair, Kind
from tulle.bus.permissions import ANSWER_SECONDS, ANSWERS, Rights

KEYS: Final = "keys.json"
CA: Final = "ca.pem"
"""Beside the keys when others run the server: what its users verify it by."""
REVOKED: Final = "revoked.json"
_UPDATED: Final = 200
_KINDS: Final = {"operator": Kind.OPERATOR, "system": Kind.ACCOUNT, "account": Kind.ACCOUNT}


class KeysDamaged(Exception):
    """The file of keys is not what it must be; the message names it."""


@dataclass(frozen=True, slots=True)
class Issuer:
    """The keys of the operator, of NATS's own account and of the mesh's account.

    `ca`: what the credentials that it makes say of the server's authorities.
    """

    operator: KeyPair
    system: KeyPair
    account: KeyPair
    ca: str = ""

    @classmethod
    def load(cls, folder: Path) -> "Issuer":
        """What `make` left in `folder`. Raises `KeysDamaged`, `FileNotFoundError`, `OSError`."""
        path = folder / KEYS
        try:
            seeds = orjson.loads(path.read_bytes())
            pairs = {name: nkeys.from_seed(str(seeds[name]), kind) for name, kind in _KINDS.items()}
        except (ValueError, KeyError, TypeError) as error:
            raise KeysDamaged(
                f"{path} holds no keys of a mesh ({error}): bring it back from a backup; without "
                "it what NATS has stored of this mesh can't be reached"
            ) from None
        return cls(**pairs, ca=_read_ca(folder))

    @classmethod
    def make(cls, folder: Path) -> "Issuer":
        """The keys in `folder`, made when there are none."""
        with suppress(FileNotFoundError):
            return cls.load(folder)
        keys = {name: nkeys.generate(kind) for name, kind in _KINDS.items()}
        made = cls(**keys, ca=_read_ca(folder))
        seeds = {name: getattr(made, name).seed for name in _KINDS}
        write_secret(folder / KEYS, orjson.dumps(seeds))
        return made

    def user(self, name: str, public: str, rights: Rights) -> str:
        """The JWT of a user by its public key: `rights` in the mesh, without an end."""
        return _user_jwt(self.account, name, public, rights)

    def credentials(self, url: str, name: str, rights: Rights, seed: str = "") -> Credentials:
        """A user with a new key, or with the one of `seed`."""
        key = nkeys.from_seed(seed, Kind.USER) if seed else nkeys.generate(Kind.USER)
        return Credentials(url, name, self.user(name, key.public, rights), key.seed, self.ca)

    def renewed(self, path: Path, url: str, name: str, rights: Rights) -> Credentials:
        """The user whose file `path` is, with its key if it has one, and the rights of now."""
        return self.credentials(url, name, rights, seed_before(path, name))

    def account_jwt(self, mesh: str, revoked: Mapping[str, int]) -> str:
        """The mesh's account, without the users that were `revoked`."""
        return jwt.account_jwt(
            self.operator, self.account.public, mesh, _now(), jetstream=True, revoked=revoked
        )

    def configuration(self, mesh: str, revoked: Mapping[str, int]) -> dict[str, object]:
        """What nats-server must be told to take users of this issuer."""
        system = jwt.account_jwt(self.operator, self.system.public, "SYS", _now())
        return {
            "operator": jwt.operator_jwt(self.operator, self.system.public, _now()),
            "system_account": self.system.public,
            "resolver": "MEMORY",
            "resolver_preload": {
                self.system.public: system,
                self.account.public: self.account_jwt(mesh, revoked),
            },
        }

    @property
    def update_subject(self) -> str:
        """Where a running server takes a new JWT of the mesh's account; users revoked end."""
        return f"$SYS.REQ.ACCOUNT.{self.account.public}.CLAIMS.UPDATE"

    def updater(self, url: str) -> Credentials:
        """A user for one connection that says `update_subject` and can do nothing else."""
        name = f"updater-{secrets.token_hex(8)}"
        key = nkeys.generate(Kind.USER)
        rights = Rights((self.update_subject,), (f"_INBOX.{name}.>",))
        signed = _user_jwt(self.system, name, key.public, rights)
        return Credentials(url, name, signed, key.seed, self.ca)


def read_revoked(folder: Path) -> dict[str, int]:
    """Users that are let in no more, by public key, and since when (Unix seconds).

    Raises `KeysDamaged`: to go on would let them in again.
    """
    path = folder / REVOKED
    try:
        return {str(user): int(when) for user, when in orjson.loads(path.read_bytes()).items()}
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError, AttributeError) as error:
        raise KeysDamaged(f"{path} is not a list of revoked users: {error}") from None


def revoke(folder: Path, user: str) -> dict[str, int]:
    """Adds a user to those that are let in no more, on disk; returns all of them."""
    revoked = read_revoked(folder) | {user: _now()}
    write_secret(folder / REVOKED, orjson.dumps(revoked))
    return revoked


async def push(issuer: Issuer, mesh: str, url: str, revoked: Mapping[str, int]) -> None:
    """Tells the running server who is `revoked`: they are out at once. Raises `BusError`."""
    async with await connect(url, issuer.updater(url), name="tulle-revoke") as connection:
        update = issuer.account_jwt(mesh, revoked).encode()
        answer = orjson.loads((await connection.request(issuer.update_subject, update)).data)
        if answer.get("data", {}).get("code") != _UPDATED:
            error = answer.get("error", {})
            raise StoreRefused(
                issuer.update_subject, int(error.get("code", 0)), str(error.get("description"))
            )


def write_ca(folder: Path, ca: str) -> None:
    """Keeps what users verify the server by; empty: they do it by the system's authorities."""
    if ca:
        write_secret(folder / CA, ca.encode())
    else:
        (folder / CA).unlink(missing_ok=True)


def _read_ca(folder: Path) -> str:
    with suppress(FileNotFoundError):
        return (folder / CA).read_text()
    return ""


def seed_before(path: Path, name: str) -> str:
    """The seed in the credentials file `path`, if it is whole and of user `name`; else empty."""
    with suppress(OSError, ValueError):
        before = Credentials.read(path)
        return before.seed if before.user == name else ""
    return ""


def _user_jwt(account: KeyPair, name: str, public: str, rights: Rights) -> str:
    return jwt.user_jwt(
        account,
        public,
        name,
        _now(),
        publish=rights.publish,
        subscribe=rights.subscribe,
        answers=(ANSWERS, ANSWER_SECONDS) if rights.answers else None,
    )


def _now() -> int:
    return int(time.time())
