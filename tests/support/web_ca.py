"""An authority as users bring one: certificates for host names and for clients."""

import ipaddress
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tulle.bus.keeping import CredentialRecord


class WebCA:
    """`ca_pem` is what clients trust."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test CA")])
        builder = self._builder(self._name, self._key.public_key(), timedelta(days=1))
        constraints = x509.BasicConstraints(ca=True, path_length=0)
        self._root = builder.add_extension(constraints, critical=True).sign(
            self._key, hashes.SHA256()
        )
        self.ca_pem = _pem(self._root)

    def issue(self, *names: str, lifetime: timedelta = timedelta(hours=1)) -> tuple[str, str]:
        """Chain and key (PEM) for names and addresses; a negative lifetime is over already."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = self._builder(x509.Name([]), key.public_key(), lifetime)
        general = [_general_name(name) for name in names]
        san = x509.SubjectAlternativeName(general)
        certificate = builder.add_extension(san, critical=True).sign(self._key, hashes.SHA256())
        key_pem = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        return _pem(certificate), key_pem.decode()

    def credential(self, name: str, *hosts: str) -> CredentialRecord:
        """A credential for `hosts`, with this CA for clients."""
        chain, key = self.issue(*hosts)
        return CredentialRecord(name=name, certificate=chain, private_key=key, ca=self.ca_pem)

    def files(self, folder: Path, *hosts: str) -> tuple[str, str, str]:
        """Paths of certificate, key and CA."""
        chain, key = self.issue(*hosts)
        texts = {"cert.pem": chain, "key.pem": key, "ca.pem": self.ca_pem}
        for name, text in texts.items():
            (folder / name).write_text(text)
        return str(folder / "cert.pem"), str(folder / "key.pem"), str(folder / "ca.pem")

    def client(self, folder: Path | None = None, *names: str) -> ssl.SSLContext:
        """Of a client that trusts this CA; with a folder it has a certificate for `names`."""
        context = ssl.create_default_context(cadata=self.ca_pem)
        if folder is not None:
            certificate, key, _ = self.files(folder, *names)
            context.load_cert_chain(certificate, key)
        return context

    def server(self, folder: Path, *hosts: str) -> ssl.SSLContext:
        """Of a server for `hosts`."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate, key, _ = self.files(folder, *hosts)
        context.load_cert_chain(certificate, key)
        return context

    def _builder(
        self, subject: x509.Name, key: ec.EllipticCurvePublicKey, lifetime: timedelta
    ) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        begin, end = now - timedelta(minutes=1), now + lifetime
        if end < begin:
            begin = end - timedelta(minutes=1)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(begin)
            .not_valid_after(end)
        )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        if "://" in name:
            return x509.UniformResourceIdentifier(name)
        return x509.DNSName(name)


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()
