"""Credentials on disk: readable by their owner alone, and an error names the file."""

import base64
import stat
from pathlib import Path

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from tulle.bus import jwt, nkeys
from tulle.bus.credentials import Credentials, write_secret

ACCOUNT, USER = nkeys.generate(nkeys.Kind.ACCOUNT), nkeys.generate(nkeys.Kind.USER)
JWT = jwt.user_jwt(ACCOUNT, USER.public, "proxy-a.b", 1, publish=("a",), subscribe=())
CREDENTIALS = Credentials("nats://127.0.0.1:4222", "proxy-a.b", JWT, USER.seed)


def test_they_come_back_and_are_secret(tmp_path: Path) -> None:
    path = tmp_path / "proxy.json"
    CREDENTIALS.write(path)
    assert Credentials.read(path) == CREDENTIALS
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert USER.seed not in repr(CREDENTIALS) and USER.seed not in repr(CREDENTIALS.key)
    assert CREDENTIALS.inbox == "_INBOX.proxy-a=2Eb"


def test_the_nonce_is_signed_by_the_user() -> None:
    raw = base64.b32decode(USER.public + "=" * (-len(USER.public) % 8))[1:33]
    signature = base64.b64decode(CREDENTIALS.sign("nonce"))
    Ed25519PublicKey.from_public_bytes(raw).verify(signature, b"nonce")


def test_a_file_for_other_clients_has_what_they_read(tmp_path: Path) -> None:
    from nats.aio.client import Client

    path = tmp_path / "operator.creds"
    CREDENTIALS.write_creds(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    client = Client()
    assert client._read_creds_user_jwt(str(path)).decode() == JWT
    assert client._read_creds_user_nkey(str(path)).decode().strip() == USER.seed


def test_a_file_is_replaced_in_one_step_even_when_others_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "proxy.json"
    path.write_text("old")
    path.chmod(0o644)
    write_secret(path, b"new")
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["proxy.json"]


def fields(**changed: str) -> str:
    said = {"url": "u", "user": "proxy-a.b", "jwt": JWT, "seed": USER.seed}
    return orjson.dumps(said | changed).decode()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"url": "x"}',
        "null",
        '{"url": "u", "user": "proxy", "password": "of an older version"}',
        fields(jwt="a.b"),
        fields(seed=USER.seed[:20] + ("B" if USER.seed[20] == "A" else "A") + USER.seed[21:]),
        fields(seed=nkeys.generate(nkeys.Kind.USER).seed),
        fields(seed=ACCOUNT.seed),
    ],
)
def test_a_file_that_holds_none_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "proxy.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"proxy\.json holds no credentials") as refused:
        Credentials.read(path)
    assert USER.seed not in str(refused.value)
