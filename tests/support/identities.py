"""An authority's material and CSRs, for tests of signing and of those who ask for certificates."""

from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from tulle.actors.authority.certificates import Issuer, make_intermediate, make_key, make_root
from tulle.actors.authority.signing import Signing

TICKET_KEY = bytes(range(32))
REVIEWS = "spiffe://cluster.local/ns/default/sa/reviews"


def make_signing(now: float, leaf_ttl_seconds: float = 86_400.0) -> Signing:
    """A new root and intermediate that sign leaves."""
    time = datetime.fromtimestamp(now, UTC)
    key = make_key()
    root = Issuer(key, make_root(key, "test", time))
    key = make_key()
    intermediate = Issuer(key, make_intermediate(key, root, "test", time))
    return Signing(intermediate, root.certificate, TICKET_KEY, "cluster.local", leaf_ttl_seconds)


def make_csr(
    *uris: str,
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | None = None,
    extra_names: tuple[x509.GeneralName, ...] = (),
) -> str:
    """A CSR (PEM) that asks for `uris`; without any it has no SAN."""
    names = [*map(x509.UniformResourceIdentifier, uris), *extra_names]
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ignored")])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    csr = builder.sign(key or make_key(), hashes.SHA256())
    return csr.public_bytes(serialization.Encoding.PEM).decode()
