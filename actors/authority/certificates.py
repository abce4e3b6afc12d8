"""X.509 of the mesh: root, intermediate and leaves, as values; no disk, no clock, no bus.

EC P-256 throughout. A leaf names its owner in one SAN, the SPIFFE id, and nowhere else
(X.509-SVID: https://spiffe.io/docs/latest/spiffe-specs/x509-svid/). Disk: `disk.py`.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CA_LIFETIME: Final = timedelta(days=3650)
LONGEST_BACKDATE: Final = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Issuer:
    """A CA's certificate with its key."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate


def make_key() -> ec.EllipticCurvePrivateKey:
    """A new key of the only curve that the authority itself uses."""
    return ec.generate_private_key(ec.SECP256R1())


def make_root(key: ec.EllipticCurvePrivateKey, mesh: str, now: datetime) -> x509.Certificate:
    """A self-signed root, good for ten years."""
    name = _name(f"tulle {mesh} root")
    period = (now - LONGEST_BACKDATE, now + CA_LIFETIME)
    builder = _builder(name, name, key.public_key(), period, x509.random_serial_number())
    return _as_ca(builder, path_length=1).sign(key, hashes.SHA256())


def make_intermediate(
    key: ec.EllipticCurvePrivateKey, root: Issuer, mesh: str, now: datetime
) -> x509.Certificate:
    """What signs leaves; it ends with its root."""
    period = (now - LONGEST_BACKDATE, root.certificate.not_valid_after_utc)
    name = _name(f"tulle {mesh} intermediate")
    subject = root.certificate.subject
    builder = _builder(name, subject, key.public_key(), period, x509.random_serial_number())
    builder = _as_ca(builder, path_length=0).add_extension(_authority_key(root), critical=False)
    return builder.sign(root.key, hashes.SHA256())


def sign_leaf(
    issuer: Issuer,
    key: ec.EllipticCurvePublicKey,
    spiffe_id: str,
    *,
    lifetime: timedelta,
    now: datetime,
    serial: int,
) -> x509.Certificate:
    """A leaf for client and server, from shortly before `now`, never beyond its issuer's end."""
    end = min(now + lifetime, issuer.certificate.not_valid_after_utc)
    period = (now - min(LONGEST_BACKDATE, lifetime / 10), end)
    builder = _builder(x509.Name([]), issuer.certificate.subject, key, period, serial)
    usages = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
    # Critical, as RFC 5280 asks where the subject is empty.
    san = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(spiffe_id)])
    builder = (
        builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(ca=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(san, critical=True)
        .add_extension(_authority_key(issuer), critical=False)
    )
    return builder.sign(issuer.key, hashes.SHA256())


def certificate_pem(certificate: x509.Certificate) -> bytes:
    """The certificate as PEM."""
    return certificate.public_bytes(serialization.Encoding.PEM)


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """The private key as unencrypted PKCS #8 PEM."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    period: tuple[datetime, datetime],
    serial: int,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(serial)
        .not_valid_before(period[0])
        .not_valid_after(period[1])
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _as_ca(builder: x509.CertificateBuilder, path_length: int) -> x509.CertificateBuilder:
    constraints = x509.BasicConstraints(ca=True, path_length=path_length)
    return builder.add_extension(constraints, critical=True).add_extension(
        _key_usage(ca=True), critical=True
    )


def _key_usage(ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        key_cert_sign=ca,
        crl_sign=ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _authority_key(issuer: Issuer) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key())


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
