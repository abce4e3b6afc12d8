"""mTLS between proxies: key and CSR, identity on disk, contexts, and who the peer is.

TLS 1.3 alone; both sides show a chain to the mesh's roots. Host names play no part: the listener
and the upstream connection ask `peer_spiffe_id`. Counterpart: actors.authority, which signs.
"""

import asyncio
import base64
import json
import os
import re
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tulle.bus.credentials import write_secret

_FILE = "identity.json"
_SPIFFE = re.compile(
    r"spiffe://(?P<trust_domain>[a-z0-9._-]{1,255})"
    r"/ns/(?P<namespace>[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)"
    r"/sa/(?P<account>[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?)"
)


class IdentityDamaged(Exception):
    """Key, chain and roots are not those of one proxy; ask the authority for a new certificate."""


@dataclass(frozen=True, slots=True)
class SpiffeId:
    """The parts of `spiffe://<trust domain>/ns/<namespace>/sa/<account>`."""

    trust_domain: str
    namespace: str
    account: str

    def __str__(self) -> str:
        return f"spiffe://{self.trust_domain}/ns/{self.namespace}/sa/{self.account}"


def parse_spiffe(uri: str) -> SpiffeId | None:
    """The parts of a SPIFFE id of the mesh's form; None for anything else."""
    found = _SPIFFE.fullmatch(uri)
    return SpiffeId(**found.groupdict()) if found else None


def generate_key() -> bytes:
    """A new P-256 key, PKCS #8 PEM."""
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def make_csr(key_pem: bytes, spiffe_id: str) -> str:
    """A CSR (PEM) whose only name is the URI SAN. Raises IdentityDamaged: no EC key."""
    san = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(spiffe_id)])
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    csr = builder.add_extension(san, critical=True).sign(_ec_key(key_pem), hashes.SHA256())
    return csr.public_bytes(serialization.Encoding.PEM).decode()


def prove(key_pem: bytes, csr: str) -> tuple[str, str]:
    """The public key (PEM) of the key before, and its signature of `csr` (base64).

    The authority wants it of a renewal (actors.authority.bindings). Raises IdentityDamaged.
    """
    key = _ec_key(key_pem)
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    signature = key.sign(csr.encode(), ec.ECDSA(hashes.SHA256()))
    return public.decode(), base64.b64encode(signature).decode()


def read_or_make_key(path: Path) -> bytes:
    """The key (PEM) in `path`, made (0600) when there is none that can be used."""
    try:
        pem = path.read_bytes()
        _ec_key(pem)
    except (FileNotFoundError, IdentityDamaged):
        pem = generate_key()
        write_secret(path, pem)
    return pem


@dataclass(frozen=True, slots=True)
class Identity:
    """What a proxy proves itself with, and whom it trusts; all PEM.

    `chain_pem`: the leaf first. `not_after`: the leaf's end, Unix seconds.
    """

    key_pem: bytes
    chain_pem: bytes
    roots_pem: bytes
    spiffe_id: str
    not_after: float

    @classmethod
    def from_pem(cls, key_pem: bytes, chain_pem: bytes, roots_pem: bytes) -> Self:
        """Reads the rest from the leaf. Raises IdentityDamaged when the parts don't fit."""
        try:
            leaf = x509.load_pem_x509_certificates(chain_pem)[0]
            x509.load_pem_x509_certificates(roots_pem)
            key = serialization.load_pem_private_key(key_pem, None)
            san = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except (ValueError, TypeError, x509.ExtensionNotFound) as e:
            raise IdentityDamaged(f"not PEM of a key, a chain and roots: {e}") from e
        if key.public_key() != leaf.public_key():
            raise IdentityDamaged("the certificate is for another key")
        names = san.get_values_for_type(x509.UniformResourceIdentifier)
        if len(names) != 1 or parse_spiffe(names[0]) is None:
            raise IdentityDamaged(f"the certificate's names are {names}, not one SPIFFE id")
        end = leaf.not_valid_after_utc.timestamp()
        return cls(key_pem, chain_pem, roots_pem, names[0], end)

    @classmethod
    def load(cls, folder: Path) -> Self | None:
        """What `save` left there, expired or not; None: nothing. Raises IdentityDamaged."""
        try:
            parts = json.loads((folder / _FILE).read_bytes())
            key, chain, roots = (parts[name].encode() for name in ("key", "chain", "roots"))
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError, AttributeError) as e:
            raise IdentityDamaged(f"{folder / _FILE}: {e}") from e
        return cls.from_pem(key, chain, roots)

    def save(self, folder: Path) -> None:
        """Writes one file of mode 0600, whole or not at all."""
        parts = {"key": self.key_pem, "chain": self.chain_pem, "roots": self.roots_pem}
        text = json.dumps({name: pem.decode() for name, pem in parts.items()})
        write_secret(folder / _FILE, text.encode())


def server_context(identity: Identity) -> ssl.SSLContext:
    """For inbound listeners: a client certificate of the mesh is required.

    No session tickets: a resumed session is no cheaper to check, and two tickets cost 0.9 ms.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.num_tickets = 0
    return _prepared(context, identity)


def client_context(identity: Identity) -> ssl.SSLContext:
    """For connections to other proxies; pass `server_hostname=""` with it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    return _prepared(context, identity)


def peer_spiffe_id(peer: asyncio.BaseTransport | ssl.SSLObject | ssl.SSLSocket) -> str | None:
    """The SPIFFE id of the peer's verified certificate.

    None without TLS, or unless its only URI SAN has the mesh's form.
    """
    if isinstance(peer, ssl.SSLObject | ssl.SSLSocket):
        certificate = peer.getpeercert()
    else:
        # Parsed by the loop at the end of the handshake; getpeercert() would do it again.
        certificate = peer.get_extra_info("peercert")
    if not certificate:
        return None
    names = certificate.get("subjectAltName", ())
    uris = [str(name[1]) for name in names if name[0] == "URI"]
    if len(uris) != 1 or _SPIFFE.fullmatch(uris[0]) is None:
        return None
    return uris[0]


def _prepared(context: ssl.SSLContext, identity: Identity) -> ssl.SSLContext:
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    context.load_verify_locations(cadata=identity.roots_pem.decode())
    load_chain(context, identity.key_pem + identity.chain_pem)
    return context


def load_chain(context: ssl.SSLContext, pem: bytes) -> None:
    """The key and the chain in `pem` are what the context shows. Never asks for a passphrase."""
    # OpenSSL reads a key from a file alone: this one is in memory and has no name.
    fd = os.memfd_create("identity", os.MFD_CLOEXEC)
    with open(fd, "wb") as file:
        file.write(pem)
        file.flush()
        context.load_cert_chain(f"/proc/self/fd/{fd}", password=lambda: b"")


def _ec_key(pem: bytes) -> ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(pem, None)
    except (ValueError, TypeError) as e:
        raise IdentityDamaged(f"not PEM of a key: {e}") from e
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise IdentityDamaged("not an EC key")
    return key
