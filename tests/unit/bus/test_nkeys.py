"""Keys as NATS writes them: known ones, what comes back, and what is none."""

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from tulle.bus import nkeys
from tulle.bus.nkeys import Kind

# As in the tests of github.com/mmmries/nkeys.
SEED = "SUAMLK2ZNL35WSMW37E7UD4VZ7ELPKW7DHC3BWBSD2GCZ7IUQQXZIORRBU"
PUBLIC = "UCK5N7N66OBOINFXAYC2ACJQYFSOD4VYNU6APEJTAVFZB2SVHLKGEW7L"
NONCE = b"PXoWU7zWAMt75FY"
SIGNATURE = (
    "ZaAiVDgB5CeYoXoQ7cBCmq+ZllzUnGUoDVb8C7PilWvCs8XKfUchAUhz2P4BYAF++Dg3w05CqyQFRDiGL6LrDw=="
)


def test_a_known_seed_has_its_known_public_key_and_signature() -> None:
    key = nkeys.from_seed(SEED, Kind.USER)
    assert (key.public, key.seed) == (PUBLIC, SEED)
    assert base64.b64encode(key.sign(NONCE)).decode() == SIGNATURE


@pytest.mark.parametrize("kind", Kind)
def test_a_key_pair_comes_back_from_its_seed_and_signs(kind: Kind) -> None:
    made = nkeys.generate(kind)
    again = nkeys.from_seed(made.seed, kind)
    assert again == made
    assert (made.public[0], made.seed[:2]) == (kind.name[0], f"S{kind.name[0]}")
    raw = base64.b32decode(made.public + "=" * (-len(made.public) % 8))[1:33]
    Ed25519PublicKey.from_public_bytes(raw).verify(again.sign(b"data"), b"data")
    assert nkeys.is_public(made.public, kind)
    assert not any(nkeys.is_public(made.public, other) for other in Kind if other != kind)


def test_no_two_are_the_same() -> None:
    assert nkeys.generate(Kind.USER).public != nkeys.generate(Kind.USER).public


def test_the_prefixes_are_those_of_nats() -> None:
    # 32 zero bytes, and their CRC-16/XMODEM with prefix A (0): all zero.
    assert nkeys.is_public("A" * 56, Kind.ACCOUNT)


@pytest.mark.parametrize("seed", ["", "SU", "not base32!", "A" * 58])
def test_what_is_no_seed_is_refused_without_saying_it(seed: str) -> None:
    with pytest.raises(ValueError, match="NATS key") as refused:
        nkeys.from_seed(seed, Kind.USER)
    assert not seed or seed not in str(refused.value)


def test_a_seed_of_another_kind_or_with_a_wrong_letter_is_refused() -> None:
    made = nkeys.generate(Kind.ACCOUNT)
    with pytest.raises(ValueError, match="not of a key for users"):
        nkeys.from_seed(made.seed, Kind.USER)
    wrong = made.seed[:20] + ("A" if made.seed[20] != "A" else "B") + made.seed[21:]
    with pytest.raises(ValueError, match="checksum"):
        nkeys.from_seed(wrong, Kind.ACCOUNT)


@pytest.mark.parametrize("text", ["", "U", "é", "UALQ", "a" * 56])
def test_what_is_no_public_key(text: str) -> None:
    assert not nkeys.is_public(text, Kind.USER)
