"""NATS JWTs: what the server believes of operator, accounts and users, without being told before.

The operator signs accounts, an account signs its users, and a user's JWT carries its permissions:
so a user can be made at any time, and no server is restarted or reloaded for it. The format is
version 2 of github.com/nats-io/jwt. Counterparts: `nkeys.py`, `issuer.py`.
"""

import base64
import hashlib
from collections.abc import Mapping
from typing import Final

import orjson

from tulle.bus.nkeys import KeyPair

_HEADER: Final = b'{"typ":"JWT","alg":"ed25519-nkey"}'
_VERSION: Final = 2
_NO_LIMIT: Final = -1
_UNLIMITED: Final = {
    name: _NO_LIMIT for name in ("subs", "data", "payload", "imports", "exports", "conn", "leaf")
} | {"wildcards": True}
_JETSTREAM: Final = {
    name: _NO_LIMIT for name in ("mem_storage", "disk_storage", "streams", "consumer")
}


def operator_jwt(operator: KeyPair, system_account: str, issued: int) -> str:
    """The operator's word on itself; `system_account`: public key. `issued`: Unix seconds."""
    nats: dict[str, object] = {"type": "operator", "system_account": system_account}
    return _sign(operator, operator.public, "tulle", nats, issued)


def account_jwt(
    operator: KeyPair,
    account: str,
    name: str,
    issued: int,
    *,
    jetstream: bool = False,
    revoked: Mapping[str, int] | None = None,
) -> str:
    """An account. `revoked`: users (public keys) whose JWTs issued until then are refused."""
    nats: dict[str, object] = {
        "type": "account",
        "limits": _UNLIMITED | (_JETSTREAM if jetstream else {}),
        "default_permissions": {"pub": {}, "sub": {}},
    }
    if revoked:
        nats["revocations"] = dict(revoked)
    return _sign(operator, account, name, nats, issued)


def user_jwt(
    account: KeyPair,
    user: str,
    name: str,
    issued: int,
    *,
    publish: tuple[str, ...],
    subscribe: tuple[str, ...],
    answers: tuple[int, int] | None = None,
) -> str:
    """A user, by its public key. `answers`: how often, and for how many seconds, it may answer."""
    nats: dict[str, object] = {
        "type": "user",
        "pub": {"allow": list(publish)},
        "sub": {"allow": list(subscribe)},
        "subs": _NO_LIMIT,
        "data": _NO_LIMIT,
        "payload": _NO_LIMIT,
    }
    if answers is not None:
        nats["resp"] = {"max": answers[0], "ttl": answers[1] * 10**9}
    return _sign(account, user, name, nats, issued)


def claims(jwt: str) -> dict[str, object]:
    """What a JWT says, unverified. Raises `ValueError` when it is none."""
    parts = jwt.split(".")
    if len(parts) != 3:
        raise ValueError("not a JWT")
    found = orjson.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    if not isinstance(found, dict):
        raise ValueError("not a JWT: its claims are no object")
    return found


def _sign(issuer: KeyPair, subject: str, name: str, nats: dict[str, object], issued: int) -> str:
    said: dict[str, object] = {
        "iat": issued,
        "iss": issuer.public,
        "name": name,
        "sub": subject,
        "nats": nats | {"version": _VERSION},
    }
    digest = hashlib.sha256(orjson.dumps(said)).digest()
    said["jti"] = base64.b32encode(digest).rstrip(b"=").decode()
    text = f"{_encode(_HEADER)}.{_encode(orjson.dumps(said))}"
    return f"{text}.{_encode(issuer.sign(text.encode()))}"


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
