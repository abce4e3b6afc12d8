"""Whether a CSR is signed: the authority's decision, pure; `desk.py` is its shell.

Three things must say the same: the subject of the request (NATS permissions guard it), the ticket
(the supervisor's word) and the SAN in the CSR. What cannot be verified is refused. That the key is
the ticket's is decided in `bindings.py`.
"""

import base64
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from tulle.actors.authority.bindings import key_hash
from tulle.actors.authority.certificates import Issuer, certificate_pem, sign_leaf
from tulle.actors.authority.tickets import Ticket, TicketRefused, verify_ticket
from tulle.bus.messages import ProblemRecord, SignAnswer, SignRequest

SHORTEST_LEAF_SECONDS: Final = 10.0
_CURVES: Final = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)


class CsrRefused(Exception):
    """A CSR that must not be signed; the message says why."""


@dataclass(frozen=True, slots=True)
class Signing:
    """The authority's material and settings. `leaf_ttl_seconds`: at least 10."""

    intermediate: Issuer
    root: x509.Certificate
    ticket_key: bytes
    trust_domain: str
    leaf_ttl_seconds: float

    def __post_init__(self) -> None:
        if self.leaf_ttl_seconds < SHORTEST_LEAF_SECONDS:
            raise ValueError(
                f"leaf_ttl is {self.leaf_ttl_seconds:g} s: use {SHORTEST_LEAF_SECONDS:g} s or more"
            )

    def examine(self, namespace: str, account: str, request: SignRequest, now: float) -> "Asked":
        """What is asked for `account` of `namespace`, as the subject named them; `now`: Unix time.

        Raises `TicketRefused`, `CsrRefused`.
        """
        ticket = self._check_ticket(namespace, account, request.ticket, now)
        spiffe_id = f"spiffe://{self.trust_domain}/ns/{namespace}/sa/{account}"
        key = _verified_key(request.csr, spiffe_id)
        proven = _proven(request) if request.proof or request.previous else ""
        return Asked(ticket, spiffe_id, key, proven)

    def issue(self, asked: "Asked", request_id: str, *, now: float, serial: int) -> SignAnswer:
        """The chain for what was examined, and bound.

        `now`: Unix time. `serial`: a fresh random positive number of at most 159 bits.
        """
        leaf = sign_leaf(
            self.intermediate,
            asked.key,
            asked.spiffe_id,
            lifetime=timedelta(seconds=self.leaf_ttl_seconds),
            now=datetime.fromtimestamp(now, UTC),
            serial=serial,
        )
        chain = certificate_pem(leaf) + certificate_pem(self.intermediate.certificate)
        roots = certificate_pem(self.root)
        return SignAnswer(id=request_id, ok=True, chain=chain.decode(), roots=roots.decode())

    def _check_ticket(self, namespace: str, account: str, text: str, now: float) -> Ticket:
        try:
            ticket = verify_ticket(self.ticket_key, text, now)
        except TicketRefused as refusal:
            raise TicketRefused(f"the ticket is refused: {refusal}") from None
        if (ticket.namespace, ticket.account) != (namespace, account):
            raise TicketRefused(
                f"the ticket is of {ticket.namespace}/{ticket.account} (proxy {ticket.proxy}), "
                f"the request came as {namespace}/{account}"
            )
        return ticket


@dataclass(frozen=True, slots=True)
class Asked:
    """A request whose parts fit each other; `proven`: the hash of the key that signed for it."""

    ticket: Ticket
    spiffe_id: str
    key: ec.EllipticCurvePublicKey
    proven: str

    @property
    def key_hash(self) -> str:
        """That of the key to be certified."""
        return key_hash(self.key)


def refused(request_id: str, reason: str) -> SignAnswer:
    """The answer to what must not be signed."""
    problem = ProblemRecord(code="identity-refused", severity="error", message=reason)
    return SignAnswer(id=request_id, ok=False, problems=[problem])


def _verified_key(pem: str, spiffe_id: str) -> ec.EllipticCurvePublicKey:
    """The CSR's public key, when its owner signed the CSR and asks for `spiffe_id` alone."""
    try:
        csr = x509.load_pem_x509_csr(pem.encode())
        key = csr.public_key()
        signed = csr.is_signature_valid
        names = _names(csr)
    except (ValueError, UnsupportedAlgorithm, InvalidSignature, x509.DuplicateExtension) as error:
        raise CsrRefused(f"the CSR can't be read: {error}") from None
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, _CURVES):
        raise CsrRefused("the CSR's key must be EC P-256, P-384 or P-521")
    if not signed:
        raise CsrRefused("the CSR is not signed by its own key")
    if names != [x509.UniformResourceIdentifier(spiffe_id)]:
        raise CsrRefused(f"the CSR's only SAN must be URI:{spiffe_id}")
    return key


def _names(csr: x509.CertificateSigningRequest) -> list[x509.GeneralName]:
    try:
        san = csr.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    return list(san.value)


def _proven(request: SignRequest) -> str:
    """The hash of the key before, when it has signed this CSR."""
    try:
        key = load_pem_public_key(request.previous.encode())
        proof = base64.b64decode(request.proof, validate=True)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise CsrRefused(f"the proof can't be read: {error}") from None
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise CsrRefused("the proof's key must be an EC key")
    try:
        key.verify(proof, request.csr.encode(), ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        raise CsrRefused("the proof is not of the key that it names") from None
    return key_hash(key)
