"""The authority's decision: which CSRs are signed, and what a signed one looks like."""

from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import PolicyBuilder, Store

from tests.support.identities import REVIEWS, TICKET_KEY, make_csr, make_signing
from tulle.actors.authority.certificates import CA_LIFETIME
from tulle.actors.authority.signing import CsrRefused, Signing, refused
from tulle.actors.authority.tickets import Ticket, TicketRefused, make_ticket
from tulle.actors.proxy import tls
from tulle.bus.messages import SignAnswer, SignRequest

_DER, _PEM = serialization.Encoding.DER, serialization.Encoding.PEM
NOW = 1_700_000_000.0
TICKET = make_ticket(TICKET_KEY, Ticket("reviews-v1-abcde", "default", "reviews", NOW))


@pytest.fixture(scope="module")
def signing() -> Signing:
    return make_signing(NOW, leaf_ttl_seconds=3600)


def ask(
    signing: Signing,
    *,
    csr: str,
    ticket: str = TICKET,
    subject: tuple[str, str] = ("default", "reviews"),
    now: float = NOW,
) -> SignAnswer:
    request = SignRequest(id="1", ticket=ticket, csr=csr)
    try:
        asked = signing.examine(*subject, request, now)
    except (TicketRefused, CsrRefused) as refusal:
        return refused("1", str(refusal))
    return signing.issue(asked, "1", now=now, serial=4711)


def refusal(answer: SignAnswer) -> str:
    assert not answer.ok and answer.chain == "" and answer.roots == ""
    [problem] = answer.problems
    return problem.message


def leaf(answer: SignAnswer) -> x509.Certificate:
    assert answer.ok, answer.problems
    return x509.load_pem_x509_certificates(answer.chain.encode())[0]


def test_a_leaf_carries_the_identity_in_its_san_alone(signing: Signing) -> None:
    certificate = leaf(ask(signing, csr=make_csr(REVIEWS)))
    san = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert list(san.value) == [x509.UniformResourceIdentifier(REVIEWS)]
    assert san.critical
    assert certificate.subject == x509.Name([])
    assert certificate.serial_number == 4711


def test_a_leaf_is_for_client_and_server_and_signs_nothing(signing: Signing) -> None:
    extensions = leaf(ask(signing, csr=make_csr(REVIEWS))).extensions
    usage = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert set(usage) == {ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH}
    assert not extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert not extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign


def test_a_leaf_is_verified_by_its_chain_and_roots(signing: Signing) -> None:
    answer = ask(signing, csr=make_csr(REVIEWS))
    chain = x509.load_pem_x509_certificates(answer.chain.encode())
    store = Store(x509.load_pem_x509_certificates(answer.roots.encode()))
    at = chain[0].not_valid_before_utc + timedelta(minutes=30)
    verifier = PolicyBuilder().store(store).time(at).build_client_verifier()
    assert verifier.verify(chain[0], chain[1:]).subjects == [
        x509.UniformResourceIdentifier(REVIEWS)
    ]


def test_a_leaf_lives_as_long_as_set_and_starts_a_little_earlier(signing: Signing) -> None:
    certificate = leaf(ask(signing, csr=make_csr(REVIEWS)))
    assert certificate.not_valid_after_utc.timestamp() == NOW + 3600
    assert NOW - 30 <= certificate.not_valid_before_utc.timestamp() < NOW


def test_a_leaf_ends_with_its_issuer(signing: Signing) -> None:
    end = NOW + CA_LIFETIME.total_seconds()
    fresh = make_ticket(TICKET_KEY, Ticket("reviews-v1-abcde", "default", "reviews", end - 60))
    certificate = leaf(ask(signing, csr=make_csr(REVIEWS), ticket=fresh, now=end - 60))
    assert certificate.not_valid_after_utc.timestamp() == end


def test_a_subject_of_another_account_is_refused(signing: Signing) -> None:
    answer = ask(signing, csr=make_csr(REVIEWS), subject=("default", "ratings"))
    assert "default/reviews" in refusal(answer) and "default/ratings" in refusal(answer)


def test_a_subject_of_another_namespace_is_refused(signing: Signing) -> None:
    answer = ask(signing, csr=make_csr(REVIEWS), subject=("prod", "reviews"))
    assert "the request came as prod/reviews" in refusal(answer)


def test_a_forged_ticket_is_refused(signing: Signing) -> None:
    forged = make_ticket(b"x" * 32, Ticket("reviews-v1-abcde", "default", "reviews", NOW))
    answer = ask(signing, csr=make_csr(REVIEWS), ticket=forged)
    assert "not made by this mesh's supervisor" in refusal(answer)


@pytest.mark.parametrize(
    "uris",
    [
        (),
        ("spiffe://cluster.local/ns/default/sa/ratings",),
        ("spiffe://elsewhere/ns/default/sa/reviews",),
        (REVIEWS, "spiffe://cluster.local/ns/default/sa/ratings"),
        (REVIEWS, REVIEWS),
        (REVIEWS + "/",),
    ],
)
def test_any_other_san_is_refused(signing: Signing, uris: tuple[str, ...]) -> None:
    assert f"the CSR's only SAN must be URI:{REVIEWS}" in refusal(ask(signing, csr=make_csr(*uris)))


def test_a_dns_name_beside_the_identity_is_refused(signing: Signing) -> None:
    csr = make_csr(REVIEWS, extra_names=(x509.DNSName("reviews"),))
    assert "only SAN" in refusal(ask(signing, csr=csr))


@pytest.mark.parametrize(
    "key",
    [
        rsa.generate_private_key(public_exponent=65537, key_size=2048),
        ec.generate_private_key(ec.SECP224R1()),
        ec.generate_private_key(ec.SECP256K1()),
    ],
    ids=["RSA", "P-224", "secp256k1"],
)
def test_other_and_weaker_keys_are_refused(
    signing: Signing, key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
) -> None:
    assert "EC P-256" in refusal(ask(signing, csr=make_csr(REVIEWS, key=key)))


def test_a_stronger_curve_is_taken(signing: Signing) -> None:
    key = ec.generate_private_key(ec.SECP384R1())
    assert leaf(ask(signing, csr=make_csr(REVIEWS, key=key))).public_key() == key.public_key()


def test_a_csr_that_is_not_signed_by_its_key_is_refused(signing: Signing) -> None:
    # One bit of the signature, which ends the DER.
    der = bytearray(x509.load_pem_x509_csr(make_csr(REVIEWS).encode()).public_bytes(_DER))
    der[-1] ^= 1
    csr = x509.load_der_x509_csr(bytes(der)).public_bytes(_PEM).decode()
    assert "not signed by its own key" in refusal(ask(signing, csr=csr))


@pytest.mark.parametrize("csr", ["", "garbage", "-----BEGIN CERTIFICATE REQUEST-----\nAA==\n"])
def test_what_is_no_csr_is_refused(signing: Signing, csr: str) -> None:
    assert "can't be read" in refusal(ask(signing, csr=csr))


def test_a_lifetime_under_ten_seconds_is_no_setting() -> None:
    with pytest.raises(ValueError, match="10 s or more"):
        make_signing(NOW, leaf_ttl_seconds=9)


def proof_request(csr: str, previous: str, proof: str) -> SignRequest:
    return SignRequest(id="1", ticket=TICKET, csr=csr, previous=previous, proof=proof)


def test_a_proof_names_the_key_that_signed_the_request(signing: Signing) -> None:
    before, key = tls.generate_key(), tls.generate_key()
    csr = tls.make_csr(key, REVIEWS)
    asked = signing.examine("default", "reviews", proof_request(csr, *tls.prove(before, csr)), NOW)
    old = signing.examine(
        "default", "reviews", proof_request(tls.make_csr(before, REVIEWS), "", ""), NOW
    )
    assert (asked.proven, old.proven) == (old.key_hash, "")
    assert asked.key_hash != old.key_hash


def test_a_proof_that_proves_nothing_is_refused(signing: Signing) -> None:
    before, other = tls.generate_key(), tls.generate_key()
    csr = tls.make_csr(tls.generate_key(), REVIEWS)
    previous, proof = tls.prove(before, csr)
    for forged in (
        proof_request(csr, tls.prove(other, csr)[0], proof),
        proof_request(tls.make_csr(other, REVIEWS), previous, proof),
        proof_request(csr, previous, ""),
        proof_request(csr, "", proof),
        proof_request(csr, previous, "no base64!"),
        proof_request(csr, "no PEM", proof),
        proof_request(csr, rsa_public(), proof),
    ):
        with pytest.raises(CsrRefused, match="proof"):
            signing.examine("default", "reviews", forged, NOW)


def rsa_public() -> str:
    key = rsa.generate_private_key(65537, 2048).public_key()
    return key.public_bytes(_PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()
