"""The authority's folder: keys and certificates, made at the first start, read at every later one.

Each file is made once, whole, and never changed: when a start is cut short, the next one makes
what lacks. The supervisor, which may start first, makes or reads `ticket.key` in the same way.
"""

import os
import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tulle.actors.authority.certificates import (
    Issuer,
    certificate_pem,
    key_pem,
    make_intermediate,
    make_key,
    make_root,
)
from tulle.actors.authority.tickets import KEY_BYTES


class FolderDamaged(Exception):
    """A file of the authority's folder is not what it must be; the message names it."""


def load_authority(folder: Path, mesh: str, now: float) -> tuple[Issuer, Issuer]:
    """Root and intermediate of `folder`, made at `now` (Unix time) where they lack.

    Raises `FolderDamaged`, `OSError`.
    """
    time = datetime.fromtimestamp(now, UTC)
    root = _issuer(folder / "root", lambda key: make_root(key, mesh, time))
    intermediate = _issuer(
        folder / "intermediate", lambda key: make_intermediate(key, root, mesh, time)
    )
    return root, intermediate


def load_ticket_key(folder: Path) -> bytes:
    """The key that tickets are made with. Raises `FolderDamaged`, `OSError`."""
    path = folder / "ticket.key"
    key = read_or_make(path, lambda: secrets.token_bytes(KEY_BYTES))
    if len(key) != KEY_BYTES:
        raise FolderDamaged(f"{path}: {len(key)} bytes, {KEY_BYTES} are expected")
    return key


def read_or_make(path: Path, make: Callable[[], bytes]) -> bytes:
    """The content of `path` (0600, in a folder of 0700), made when absent; one maker wins."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        pass
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        _write(draft, make())
        os.link(draft, path)
    except FileExistsError:
        pass  # someone else was first; his counts
    finally:
        draft.unlink(missing_ok=True)
    return path.read_bytes()


def _write(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _issuer(
    path: Path, certify: Callable[[ec.EllipticCurvePrivateKey], x509.Certificate]
) -> Issuer:
    key = _key(path.with_suffix(".key"))
    return Issuer(key, _certificate(path.with_suffix(".pem"), key, lambda: certify(key)))


def _key(path: Path) -> ec.EllipticCurvePrivateKey:
    pem = read_or_make(path, lambda: key_pem(make_key()))
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except ValueError as error:
        raise FolderDamaged(f"{path}: not a private key ({error})") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise FolderDamaged(f"{path}: not an EC key")
    return key


def _certificate(
    path: Path, key: ec.EllipticCurvePrivateKey, make: Callable[[], x509.Certificate]
) -> x509.Certificate:
    pem = read_or_make(path, lambda: certificate_pem(make()))
    try:
        certificate = x509.load_pem_x509_certificate(pem)
    except ValueError as error:
        raise FolderDamaged(f"{path}: not a certificate ({error})") from error
    if certificate.public_key() != key.public_key():
        raise FolderDamaged(f"{path}: it is not of the key beside it")
    return certificate
