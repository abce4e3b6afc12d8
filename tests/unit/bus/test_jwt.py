"""JWTs as nats-server wants them: signed text, and what it says."""

import base64

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from tulle.bus import jwt, nkeys
from tulle.bus.nkeys import KeyPair, Kind

OPERATOR, ACCOUNT = nkeys.generate(Kind.OPERATOR), nkeys.generate(Kind.ACCOUNT)
USER = nkeys.generate(Kind.USER)


def decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def verify(text: str, signer: KeyPair) -> None:
    raw = base64.b32decode(signer.public + "=" * (-len(signer.public) % 8))[1:33]
    signed, _, signature = text.rpartition(".")
    Ed25519PublicKey.from_public_bytes(raw).verify(decode(signature), signed.encode())


def test_a_user_carries_its_permissions() -> None:
    text = jwt.user_jwt(
        ACCOUNT, USER.public, "a", 7, publish=("x",), subscribe=("y.>",), answers=(3, 2)
    )
    verify(text, ACCOUNT)
    assert decode(text.split(".")[0]) == b'{"typ":"JWT","alg":"ed25519-nkey"}'
    said = jwt.claims(text)
    assert (said["iss"], said["sub"], said["iat"]) == (ACCOUNT.public, USER.public, 7)
    assert "exp" not in said
    nats = said["nats"]
    assert isinstance(nats, dict)
    assert (nats["type"], nats["version"]) == ("user", 2)
    assert (nats["pub"], nats["sub"]) == ({"allow": ["x"]}, {"allow": ["y.>"]})
    assert nats["resp"] == {"max": 3, "ttl": 2_000_000_000}


def test_a_user_that_answers_nobody_has_no_right_to() -> None:
    text = jwt.user_jwt(ACCOUNT, USER.public, "a", 7, publish=(), subscribe=())
    nats = jwt.claims(text)["nats"]
    assert isinstance(nats, dict) and "resp" not in nats


def test_an_account_says_who_is_revoked() -> None:
    text = jwt.account_jwt(OPERATOR, ACCOUNT.public, "m", 7, jetstream=True, revoked={"U": 5})
    verify(text, OPERATOR)
    nats = jwt.claims(text)["nats"]
    assert isinstance(nats, dict)
    assert nats["revocations"] == {"U": 5}
    assert nats["limits"]["disk_storage"] == -1
    plain = jwt.claims(jwt.account_jwt(OPERATOR, ACCOUNT.public, "m", 7))["nats"]
    assert isinstance(plain, dict)
    assert "revocations" not in plain and "disk_storage" not in plain["limits"]


def test_the_operator_names_the_system_account() -> None:
    text = jwt.operator_jwt(OPERATOR, ACCOUNT.public, 7)
    verify(text, OPERATOR)
    said = jwt.claims(text)
    assert said["iss"] == said["sub"] == OPERATOR.public
    nats = said["nats"]
    assert isinstance(nats, dict) and nats["system_account"] == ACCOUNT.public


def test_a_changed_word_breaks_the_signature() -> None:
    text = jwt.operator_jwt(OPERATOR, ACCOUNT.public, 7)
    head, body, signature = text.split(".")
    with pytest.raises(InvalidSignature):
        verify(f"{head}.{body[:-2]}AA.{signature}", OPERATOR)


@pytest.mark.parametrize("text", ["", "a.b", "a.W10.c"])
def test_what_is_no_jwt(text: str) -> None:
    with pytest.raises(ValueError, match="not a JWT"):
        jwt.claims(text)
