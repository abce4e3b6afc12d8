"""Keys of the buckets, and the escaping that makes any text one token of a key or subject.

The counterpart for subjects is `subjects.py`. A token is one dot-separated part. Characters outside
`[A-Za-z0-9_-]` are written `=XX`, the hexadecimal of each of their UTF-8 bytes: the host
`*.example.com` is the one token `=2A=2Eexample=2Ecom`. Every text has exactly one spelling.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

HOSTS = "hosts"
LEADER = "leader"
EPOCH = "epoch"

_SAFE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")
_ESCAPE = re.compile(r"=([0-9A-F]{2})")


class KeyKind(StrEnum):
    """What a key holds; the value is its first token."""

    HOSTS = HOSTS
    LEADER = LEADER
    EPOCH = EPOCH
    OUTBOUND = "outbound"
    INBOUND = "inbound"
    GATEWAY = "gateway"
    SERVICE = "service"
    DOCUMENT = "doc"
    WORKLOAD = "workload"
    POOL = "pool"
    LOG = "log"
    CREDENTIAL = "credential"
    RUNNER = "runner"


_PARTS = {
    KeyKind.HOSTS: 0,
    KeyKind.LEADER: 0,
    KeyKind.EPOCH: 0,
    KeyKind.OUTBOUND: 1,
    KeyKind.INBOUND: 1,
    KeyKind.GATEWAY: 1,
    KeyKind.SERVICE: 2,
    KeyKind.DOCUMENT: 3,
    KeyKind.WORKLOAD: 1,
    KeyKind.POOL: 1,
    KeyKind.LOG: 1,
    KeyKind.CREDENTIAL: 1,
    KeyKind.RUNNER: 1,
}


@dataclass(frozen=True, slots=True)
class Key:
    """A parsed key: its kind and its parts, unescaped, e.g. `(SERVICE, ("default", "reviews"))`."""

    kind: KeyKind
    parts: tuple[str, ...] = ()

    def __str__(self) -> str:
        """The key as the bucket knows it."""
        return ".".join([self.kind.value, *map(encode_token, self.parts)])


def outbound(host: str) -> str:
    """Bucket `config`: routes and clusters of one host."""
    return str(Key(KeyKind.OUTBOUND, (host,)))


def inbound(namespace: str) -> str:
    """Bucket `config`: what the servers of a namespace demand."""
    return str(Key(KeyKind.INBOUND, (namespace,)))


def gateway(pool: str) -> str:
    """Bucket `config`: listeners and routes of a gateway pool."""
    return str(Key(KeyKind.GATEWAY, (pool,)))


def service(namespace: str, name: str) -> str:
    """Bucket `registry`: a service, its ports and its workloads."""
    return str(Key(KeyKind.SERVICE, (namespace, name)))


def document(kind: str, namespace: str, name: str) -> str:
    """Bucket `policies`: one document as the user wrote it; `kind` as in `VirtualService`."""
    return str(Key(KeyKind.DOCUMENT, (kind, namespace, name)))


def workload(workload_id: str) -> str:
    """Bucket `desired`: one workload that shall run."""
    return str(Key(KeyKind.WORKLOAD, (workload_id,)))


def pool(name: str) -> str:
    """Bucket `desired`: a pool of gateways, evaluators or collectors, and its size."""
    return str(Key(KeyKind.POOL, (name,)))


def runner(name: str) -> str:
    """Bucket `desired`: a user for `tulle run` that may start one service account."""
    return str(Key(KeyKind.RUNNER, (name,)))


def credential(name: str) -> str:
    """Bucket `credentials`: a certificate and its key, for gateways."""
    return str(Key(KeyKind.CREDENTIAL, (name,)))


def log(number: int) -> str:
    """Bucket `policies`: the record of one commit."""
    return str(Key(KeyKind.LOG, (str(number),)))


def parse_key(key: str) -> Key:
    """The parts of `key`. Raises `ValueError` when no function of this module makes such a key."""
    head, *tokens = key.split(".")
    try:
        kind = KeyKind(head)
        parts = tuple(map(decode_token, tokens))
    except ValueError as error:
        raise ValueError(f"not a key of a tulle bucket: {key!r} ({error})") from None
    if len(parts) != _PARTS[kind]:
        raise ValueError(
            f"not a key of a tulle bucket: {key!r} (takes {_PARTS[kind]} parts after {head!r})"
        )
    return Key(kind, parts)


def encode_token(text: str) -> str:
    """`text` as one token. Raises `ValueError` on empty text: NATS has no empty token."""
    if not text:
        raise ValueError("a token can't be empty")
    return "".join(chr(byte) if byte in _SAFE else f"={byte:02X}" for byte in text.encode())


def decode_token(token: str) -> str:
    """The inverse of `encode_token`. Raises `ValueError` on any spelling that it never writes."""
    raw = _ESCAPE.sub(lambda match: chr(int(match[1], 16)), token)
    try:
        text = raw.encode("latin-1").decode()
    except UnicodeError:
        raise ValueError(f"token {token!r} is not escaped UTF-8") from None
    if encode_token(text) != token:
        raise ValueError(f"token {token!r} is not in its one spelling, {encode_token(text)!r}")
    return text
