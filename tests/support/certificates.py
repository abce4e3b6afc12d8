"""A mesh's root and intermediate that issue identities to proxies, for tests of TLS.

Signed as the authority signs (actors.authority.certificates); `names` beyond the rules of the
mesh are possible, to be refused.
"""

from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtendedKeyUsageOID

from tulle.actors.authority.certificates import (
    Issuer,
    certificate_pem,
    key_pem,
    make_intermediate,
    make_key,
    make_root,
    sign_leaf,
)
from tulle.actors.proxy.tls import Identity


def spiffe(account: str, namespace: str = "default") -> str:
    """`spiffe://cluster.local/ns/<namespace>/sa/<account>`."""
    return f"spiffe://cluster.local/ns/{namespace}/sa/{account}"


class MeshRoot:
    """A root with its intermediate; each instance is another mesh."""

    def __init__(self) -> None:
        now = datetime.now(UTC)
        key = make_key()
        root = Issuer(key, make_root(key, "test", now))
        key = make_key()
        self._issuer = Issuer(key, make_intermediate(key, root, "test", now))
        self.roots_pem = certificate_pem(root.certificate)

    def identity(self, account: str, lifetime: timedelta = timedelta(hours=1)) -> Identity:
        """A new key and certificate of `spiffe(account)`; a negative lifetime is over already."""
        key, now = make_key(), datetime.now(UTC)
        if lifetime < timedelta():
            now, lifetime = now + 2 * lifetime, -lifetime
        leaf = sign_leaf(
            self._issuer,
            key.public_key(),
            spiffe(account),
            lifetime=lifetime,
            now=now,
            serial=x509.random_serial_number(),
        )
        return Identity.from_pem(key_pem(key), self._chain(leaf), self.roots_pem)

    def signed(self, csr: str) -> bytes:
        """The chain for a CSR (PEM), with the names that it asks for, checked by nobody."""
        request = x509.load_pem_x509_csr(csr.encode())
        san = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return self._chain(self._leaf(request, san))

    def misnamed(self, *names: x509.GeneralName) -> Identity:
        """An identity whose certificate has these names instead of one SPIFFE id."""
        key = make_key()
        request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
        leaf = self._leaf(request.sign(key, hashes.SHA256()), x509.SubjectAlternativeName(names))
        end = leaf.not_valid_after_utc.timestamp()
        return Identity(key_pem(key), self._chain(leaf), self.roots_pem, "", end)

    def _leaf(
        self, request: x509.CertificateSigningRequest, san: x509.SubjectAlternativeName
    ) -> x509.Certificate:
        now, issuer = datetime.now(UTC), self._issuer
        usages = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
        issuer_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key())
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(issuer.certificate.subject)
            .public_key(request.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(seconds=30))
            .not_valid_after(now + timedelta(hours=1))
            .add_extension(san, critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(issuer_key, critical=False)
            .sign(issuer.key, hashes.SHA256())
        )

    def _chain(self, leaf: x509.Certificate) -> bytes:
        return certificate_pem(leaf) + certificate_pem(self._issuer.certificate)
