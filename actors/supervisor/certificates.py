"""Whether certificate and key of a gateway can be used together. Pure; time is an argument.

All problems are found, not only the first. Nothing of what is checked is ever in a message: it has
a private key in it.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from tulle.actors.supervisor.admission import problem
from tulle.bus.keeping import CredentialAddRequest, CredentialReport
from tulle.bus.messages import ProblemRecord

SOON: Final = timedelta(days=30)
SMALLEST_RSA: Final = 2048  # OpenSSL refuses smaller ones when the gateway would use them
_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")


def credential_problems(request: CredentialAddRequest, now: float) -> list[ProblemRecord]:
    """What is wrong with it at `now` (Unix time); the mesh takes it when no error is among it."""
    found = [*_name_problems(request.name), *_ca_problems(request.ca)]
    try:
        chain = _chain(request.certificate)
    except ValueError:
        found.append(problem("bad-certificate", "certificate", "it is not PEM of a certificate"))
    else:
        found += _time_problems(chain[0], datetime.fromtimestamp(now, UTC))
        found += _key_problems(request.private_key, chain[0])
    return found


def report(name: str, certificate: str, ca: str) -> CredentialReport:
    """What all may know of a credential that was checked."""
    leaf = _chain(certificate)[0]
    return CredentialReport(
        name=name,
        hosts=_hosts(leaf),
        not_after=leaf.not_valid_after_utc.timestamp(),
        has_ca=bool(ca),
    )


def _name_problems(name: str) -> Iterator[ProblemRecord]:
    if not _NAME.fullmatch(name):
        rule = "use lower-case letters, digits, '-' and '.', a letter or digit first and last"
        yield problem("bad-name", "name", f"name {name!r}: {rule}")


def _ca_problems(ca: str) -> Iterator[ProblemRecord]:
    try:
        if ca:
            _chain(ca)
    except ValueError:
        yield problem("bad-certificate", "ca", "it is not PEM of certificates")


def _time_problems(leaf: x509.Certificate, now: datetime) -> Iterator[ProblemRecord]:
    first, last = leaf.not_valid_before_utc, leaf.not_valid_after_utc
    if last <= now:
        yield problem("expired", "certificate", f"it has expired, on {last:%Y-%m-%d}")
    elif last <= now + SOON:
        yield _warning("expires-soon", f"it expires on {last:%Y-%m-%d %H:%M} UTC")
    if first > now:
        yield _warning("not-yet-valid", f"it is valid from {first:%Y-%m-%d %H:%M} UTC on only")


def _key_problems(pem: str, leaf: x509.Certificate) -> Iterator[ProblemRecord]:
    try:
        key = load_pem_private_key(pem.encode(), None)
    except TypeError:
        message = "the key is encrypted: decrypt it, as in `openssl pkey -in KEY -out PLAIN`"
        yield problem("bad-key", "private_key", message)
        return
    except (ValueError, UnsupportedAlgorithm):
        yield problem("bad-key", "private_key", "it is not PEM of a private key")
        return
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        yield problem("bad-key", "private_key", "use a key of RSA or of an elliptic curve (ECDSA)")
    elif isinstance(key, rsa.RSAPrivateKey) and key.key_size < SMALLEST_RSA:
        message = f"RSA of {key.key_size} bits is too weak: use {SMALLEST_RSA} or more"
        yield problem("bad-key", "private_key", message)
    elif key.public_key() != leaf.public_key():
        message = "the key is not of the (first) certificate: give the two that belong together"
        yield problem("key-mismatch", "private_key", message)


def _chain(pem: str) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(pem.encode())


def _hosts(leaf: x509.Certificate) -> list[str]:
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return []
    addresses = map(str, names.get_values_for_type(x509.IPAddress))
    return [*names.get_values_for_type(x509.DNSName), *addresses]


def _warning(code: str, message: str) -> ProblemRecord:
    return ProblemRecord(code=code, severity="warning", path="certificate", message=message)
