"""NATS keys (nkeys): Ed25519 key pairs, written as text that says what they are for.

A public key is `base32(prefix, 32 bytes, CRC-16)` and begins with O, A or U; a seed begins with S
and the same letter, e.g. SU. The format is github.com/nats-io/nkeys. Counterpart: `jwt.py`.
"""

import base64
import binascii
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

_SEED: Final = 18 << 3
_RAW_BYTES: Final = 32


class Kind(IntEnum):
    """Whose key it is; the value is the prefix, which is the text's first letter."""

    OPERATOR = 14 << 3
    ACCOUNT = 0
    USER = 20 << 3


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A key pair. `public` is a name for all to see, `seed` the secret, both as text."""

    kind: Kind
    public: str
    seed: str = field(repr=False)

    def sign(self, data: bytes) -> bytes:
        """The 64 bytes of an Ed25519 signature."""
        return _private(_decode_seed(self.seed)[1]).sign(data)


def generate(kind: Kind) -> KeyPair:
    """A new key pair."""
    private = Ed25519PrivateKey.generate()
    raw = private.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
    return _pair(kind, raw)


def from_seed(seed: str, kind: Kind) -> KeyPair:
    """The key pair of a seed. Raises `ValueError`, without the seed, when it is none of `kind`."""
    found, raw = _decode_seed(seed)
    if found != kind:
        raise ValueError(f"the seed is not of a key for {kind.name.lower()}s")
    return _pair(kind, raw)


def is_public(text: str, kind: Kind) -> bool:
    """Whether `text` is a public key of `kind`, in its one spelling."""
    try:
        payload = _decode(text)
    except ValueError:
        return False
    return len(payload) == 1 + _RAW_BYTES and payload[0] == kind and _encode(payload) == text


def _pair(kind: Kind, raw: bytes) -> KeyPair:
    public = _private(raw).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    # The kind's five bits are spread over two bytes, so that the second letter shows them.
    head = bytes([_SEED | kind >> 5, (kind & 31) << 3])
    return KeyPair(kind, _encode(bytes([kind]) + public), _encode(head + raw))


def _private(raw: bytes) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(raw)


def _decode_seed(seed: str) -> tuple[int, bytes]:
    payload = _decode(seed)
    if len(payload) != 2 + _RAW_BYTES or payload[0] & 0xF8 != _SEED:
        raise ValueError("not the seed of a NATS key")
    return (payload[0] & 7) << 5 | payload[1] >> 3, payload[2:]


def _encode(payload: bytes) -> str:
    checked = payload + binascii.crc_hqx(payload, 0).to_bytes(2, "little")
    return base64.b32encode(checked).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    try:
        checked = base64.b32decode(text + "=" * (-len(text) % 8))
    except ValueError:
        raise ValueError("not a NATS key: it is no base32") from None
    payload, crc = checked[:-2], checked[-2:]
    if len(checked) < 3 or binascii.crc_hqx(payload, 0).to_bytes(2, "little") != crc:
        raise ValueError("not a NATS key: its checksum is wrong")
    return payload
