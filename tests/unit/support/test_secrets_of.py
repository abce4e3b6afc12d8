"""The searcher for secrets finds each kind, in each form, and nothing where there is none."""

import base64
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from tests.support.gateway_certificates import key_pem, make_key
from tests.support.secrets_of import (
    leaks,
    of_process,
    open_to_others,
    others,
    proxy_credentials,
    secrets_of,
    secrets_of_file,
)
from tulle.actors.authority.tickets import Ticket, make_ticket
from tulle.bus import nkeys
from tulle.bus.credentials import Credentials

SEED = nkeys.generate(nkeys.Kind.USER).seed
ACCOUNT_SEED = nkeys.generate(nkeys.Kind.ACCOUNT).seed
KEY = make_key()
PEM = key_pem(KEY)
DER = KEY.private_bytes(
    serialization.Encoding.DER,
    serialization.PrivateFormat.PKCS8,
    serialization.NoEncryption(),
)
SCALAR = KEY.private_numbers().private_value.to_bytes(32, "big")
TICKET_KEY = bytes(range(200, 232))
TOKEN = "f00d" * 16


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A mesh's folder, with a secret of each kind."""
    for name in ("creds", "nats", "authority", "proxies/a-v1-xxxxx", "logs", "ray/session/logs"):
        (tmp_path / name).mkdir(parents=True, mode=0o700)
    user = Credentials("nats://127.0.0.1:1", "operator", "a.b.c", SEED)
    user.write(tmp_path / "creds/operator.json")
    user.write_creds(tmp_path / "creds/operator.creds")
    (tmp_path / "nats/keys.json").write_text(f'{{"account": "{ACCOUNT_SEED}"}}')
    (tmp_path / "authority/ticket.key").write_bytes(TICKET_KEY)
    (tmp_path / "proxies/a-v1-xxxxx/identity.json").write_text(json.dumps({"key_pem": PEM}))
    (tmp_path / "ray.token").write_text(TOKEN)
    return tmp_path


PLANTED = {
    "seed": SEED.encode(),
    "issuer's seed": ACCOUNT_SEED.encode(),
    "PEM": PEM.encode(),
    "PEM in JSON": PEM.replace("\n", "\\n").encode(),
    "a line of a PEM": PEM.splitlines()[2].encode(),
    "DER": DER,
    "DER in base64": base64.b64encode(DER),
    "DER in URL base64": base64.urlsafe_b64encode(DER),
    "DER in hex": DER.hex().encode(),
    "private number": SCALAR,
    "private number in hex": SCALAR.hex().encode(),
    "private number in base64": base64.b64encode(SCALAR),
    "ticket key": TICKET_KEY,
    "ticket key in hex": TICKET_KEY.hex().encode(),
    "Ray's token": TOKEN.encode(),
}


@pytest.mark.parametrize("kind", PLANTED)
def test_what_is_planted_is_found(folder: Path, kind: str) -> None:
    text = b"level=info said=" + PLANTED[kind] + b" and so on\n"
    assert leaks(secrets_of(folder), "a log", text) != []
    assert leaks(secrets_of(folder), "a log", b"level=info said=nothing\n") == []


OF_NO_FILE = {
    "ticket": make_ticket(b"k", Ticket("a-v1-xxxxx", "default", "a", 1.0)).encode(),
    "seed": nkeys.generate(nkeys.Kind.USER).seed.encode(),
    "key": key_pem(make_key()).encode(),
    "key in base64": base64.b64encode(key_pem(make_key()).encode()),
}


@pytest.mark.parametrize("kind", OF_NO_FILE)
def test_a_secret_that_lies_nowhere_is_found_by_its_head(kind: str) -> None:
    assert leaks({}, "an answer", b'{"said": "' + OF_NO_FILE[kind] + b'"}') != []


def test_a_users_key_and_a_proxy_credential_are_secrets_too(tmp_path: Path) -> None:
    file = tmp_path / "till.key"
    file.write_text(PEM)
    found = leaks(secrets_of_file(file), "/metrics", base64.b64encode(DER))
    assert found == [f"/metrics has a secret of {file}"]
    environ = b"A=1\0http_proxy=http://a-v1-xxxxx:0123abcd@127.0.0.1:9\0PATH=/bin"
    assert proxy_credentials(environ) == {b"0123abcd": "a-v1-xxxxx"}
    assert proxy_credentials(b"http_proxy=http://127.0.0.1:9\0") == {}


def test_a_proxy_credential_is_its_own_apps_alone_and_never_an_argument() -> None:
    all_of_them = {b"0123abcd": "a-v1-xxxxx", b"4567cdef": "b-v1-yyyyy"}
    own = b"http_proxy=http://a-v1-xxxxx:0123abcd@127.0.0.1:9\0TULLE_WORKLOAD=a-v1-xxxxx"
    assert of_process("1", own, b"app", {}, all_of_them) == []
    assert of_process("1", own + b"\0X=4567cdef", b"app", {}, all_of_them) == [
        "environment of 1 has a secret of the app of b-v1-yyyyy"
    ]
    assert of_process("1", b"", b"curl -x 0123abcd", {}, all_of_them) == [
        "arguments of 1 has a secret of the app of a-v1-xxxxx"
    ]
    assert of_process("1", b"X=0123abcd", b"raylet", {}, all_of_them) != []


def test_public_keys_ids_and_certificates_are_no_secrets(folder: Path) -> None:
    public = nkeys.generate(nkeys.Kind.USER).public
    text = f"user={public} -----BEGIN CERTIFICATE----- spiffe://cluster.local/ns/default/sa/a"
    assert leaks(secrets_of(folder), "a log", text.encode()) == []


def test_files_that_may_have_no_secret_are_all_but_the_holders(folder: Path) -> None:
    for name in ("mesh.json", "logs/a.log", "ray/session/logs/raylet.out", "nats/nats.log"):
        (folder / name).write_text("nothing")
    found = {str(path.relative_to(folder)) for path in others(folder)}
    assert found == {"mesh.json", "logs/a.log", "ray/session/logs/raylet.out", "nats/nats.log"}


def test_modes_that_let_others_in_are_found(folder: Path) -> None:
    folder.chmod(0o700)
    for path in folder.rglob("*"):
        path.chmod(0o700 if path.is_dir() else 0o600)
    (folder / "ray").chmod(0o777)
    assert open_to_others(folder, ["ray"]) == []
    (folder / "creds/operator.json").chmod(0o640)
    (folder / "logs").chmod(0o755)
    assert sorted(open_to_others(folder, ["ray"])) == [
        f"{folder}/creds/operator.json: 640",
        f"{folder}/logs: 755",
    ]
