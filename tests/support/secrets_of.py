"""The secrets of a mesh in every form that they could leak in, and who may not have them.

Secrets are found where they lie: keys and seeds in the mesh's folder, an app's proxy credential in
its environment. `leaks` looks for all of them, and for what any secret of its kind begins with, so
that one that lies nowhere is found too.
"""

import base64
import binascii
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from tulle.actors.authority.tickets import Ticket, make_ticket

Secrets = Mapping[bytes, str]
"""A form of a secret -> where that secret lies."""

HOLDERS = ("authority", "creds", "nats", "proxies", "ray.token")
"""Of a mesh's folder: what may have secrets, each file for its owner alone."""

_PEM = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----\s.+?-----END [A-Z ]*PRIVATE KEY-----", re.S)
_SEED = re.compile(rb"(?<![A-Z2-7])S[OAU][A-Z2-7]{56}(?![A-Z2-7])")  # NATS: operator, account, user
_PROXY = re.compile(rb"(?i:https?_proxy)=http://([^:@/\s]+):([^@\s]+)@")
_WORKLOAD = b"TULLE_WORKLOAD="
_LINE = 40  # a shorter line of a PEM is not told from chance
_KINDS = {
    b"PRIVATE KEY-----": "the head of a private key",
    base64.b64encode(b"-----BEGIN PRIVATE KEY")[:28]: "the head of a private key in base64",
    b"USER NKEY SEED-----": "the head of a NATS seed",
    # Every one begins so: its first field is the proxy.
    make_ticket(b"", Ticket("", "", "", 0.0)).encode()[:12]: "the head of a ticket",
}


def secrets_of(folder: Path) -> dict[bytes, str]:
    """Of a mesh's folder: NATS seeds, private keys, the ticket key, Ray's token, in all forms."""
    return {form: str(path) for path in held(folder) for form in _forms(path)}


def secrets_of_file(path: Path) -> dict[bytes, str]:
    """Of a user's file elsewhere: a key for `tulle credential add`, a runner's credentials."""
    return dict.fromkeys(_forms(path), str(path))


def held(folder: Path) -> Iterator[Path]:
    """Files of the mesh's folder that may have secrets, but for NATS's own store."""
    for path in files_below(folder):
        parts = path.relative_to(folder).parts
        if parts[0] in HOLDERS and "jetstream" not in parts and path.suffix != ".log":
            yield path


def others(folder: Path) -> Iterator[Path]:
    """All other files there: logs of all kinds, Ray's session, `mesh.json`, ..."""
    holding = set(held(folder))
    for path in files_below(folder):
        store = path.relative_to(folder).parts[:2] == ("nats", "jetstream")
        if path not in holding and not store:
            yield path


def files_below(folder: Path) -> list[Path]:
    """Regular files, none twice; what goes meanwhile is left out."""
    return [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink()]


def proxy_credentials(environment: bytes) -> dict[bytes, str]:
    """Password -> workload, of the proxy variables in an environment as /proc has it."""
    return {
        password: user.decode()
        for entry in environment.split(b"\0")
        for user, password in _PROXY.findall(entry)
    }


def leaks(secrets: Secrets, where: str, text: bytes) -> list[str]:
    """`<where> has a secret of <place>` for each that is in `text`."""
    found = {place for form, place in secrets.items() if form in text}
    found |= {name for head, name in _KINDS.items() if head in text}
    found |= {"a NATS seed" for _ in _SEED.findall(text)[:1]}
    return [f"{where} has a secret of {place}" for place in sorted(found)]


def of_process(
    where: str, environment: bytes, arguments: bytes, secrets: Secrets, credentials: Secrets
) -> list[str]:
    """Leaks in a process, as /proc has it. `credentials`: `proxy_credentials` of all; only that
    of its own workload may be in its environment, none in its arguments."""
    own = next((entry for entry in environment.split(b"\0") if entry.startswith(_WORKLOAD)), b"")
    workload = own.removeprefix(_WORKLOAD).decode()
    foreign = {word: f"the app of {of}" for word, of in credentials.items() if of != workload}
    everyones = {word: f"the app of {of}" for word, of in credentials.items()}
    return [
        *leaks({**secrets, **everyones}, f"arguments of {where}", arguments),
        *leaks({**secrets, **foreign}, f"environment of {where}", environment),
    ]


def open_to_others(folder: Path, opened: Iterable[str] = ()) -> list[str]:
    """Files that are not 0600 and folders that are not 0700, but for what is below `opened`,
    folders of others that an own one closes."""
    shut = [folder / name for name in opened]
    found = []
    for path in (folder, *sorted(folder.rglob("*"))):
        if path.is_symlink() or any(above in path.parents for above in shut) or path in shut:
            continue
        mode = path.lstat().st_mode & 0o777
        if mode & 0o077:
            found.append(f"{path}: {mode:o}")
    return found


def _forms(path: Path) -> Iterator[bytes]:
    content = path.read_bytes()
    if path.name in ("ticket.key", "ray.token"):
        yield from _forms_of_bytes(content.strip())
    yield from _SEED.findall(content)
    for pem in _PEM.findall(content.replace(b"\\n", b"\n")):  # as in JSON
        yield from _forms_of_key(pem)
    if path.suffix == ".json" and b'"seed"' in content:
        yield json.loads(content)["seed"].encode()


def _forms_of_key(pem: bytes) -> Iterator[bytes]:
    """Its lines, so that a part of it is found; DER, and the number that is the secret."""
    lines = pem.splitlines()[1:-1]
    yield from (line for line in lines if len(line) >= _LINE)
    yield b"".join(lines)
    key = serialization.load_pem_private_key(pem, None)
    yield from _forms_of_bytes(
        key.private_bytes(
            serialization.Encoding.DER,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    match key:
        case ec.EllipticCurvePrivateKey():
            size = (key.key_size + 7) // 8
            yield from _forms_of_bytes(key.private_numbers().private_value.to_bytes(size, "big"))
        case ed25519.Ed25519PrivateKey():
            yield from _forms_of_bytes(key.private_bytes_raw())


def _forms_of_bytes(secret: bytes) -> Iterator[bytes]:
    yield secret
    yield binascii.hexlify(secret)
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        yield encode(secret).rstrip(b"=")
