"""Identities and handshakes; the handshakes run in memory, record by record."""

import asyncio
import ssl
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

from tests.support.certificates import MeshRoot, spiffe
from tulle.actors.proxy import tls


@pytest.fixture(scope="module")
def mesh() -> MeshRoot:
    return MeshRoot()


def handshake(client: ssl.SSLContext, server: ssl.SSLContext) -> tuple[ssl.SSLObject, ...]:
    """Both ends after the handshake and a byte each way. Raises what either end raises."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (
        client.wrap_bio(to_client, to_server),
        server.wrap_bio(to_server, to_client, server_side=True),
    )
    for _ in range(3):
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                pass
    for here, there in (ends, ends[::-1]):
        here.write(b"x")
        assert there.read(1) == b"x"
    return ends


def test_each_end_sees_the_others_account(mesh: MeshRoot) -> None:
    client, server = handshake(
        tls.client_context(mesh.identity("productpage")),
        tls.server_context(mesh.identity("reviews")),
    )
    assert tls.peer_spiffe_id(client) == spiffe("reviews")
    assert tls.peer_spiffe_id(server) == spiffe("productpage")
    assert client.version() == "TLSv1.3"


def test_no_session_can_be_resumed(mesh: MeshRoot) -> None:
    context = tls.server_context(mesh.identity("reviews"))
    client, _ = handshake(tls.client_context(mesh.identity("productpage")), context)
    assert context.num_tickets == 0
    assert client.session is None or not client.session.has_ticket


def test_a_certificate_of_another_root_is_refused_by_either_end(mesh: MeshRoot) -> None:
    other = MeshRoot()
    mine, foreign = mesh.identity("reviews"), other.identity("reviews")
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(tls.client_context(mine), tls.server_context(foreign))
    # It trusts our root but its own chain leads to another.
    forged = tls.Identity.from_pem(foreign.key_pem, foreign.chain_pem, mesh.roots_pem)
    with pytest.raises(ssl.SSLError, match="CERTIFICATE_VERIFY_FAILED"):
        handshake(tls.client_context(forged), tls.server_context(mine))


def test_an_expired_certificate_is_refused(mesh: MeshRoot) -> None:
    expired = mesh.identity("reviews", lifetime=timedelta(hours=-1))
    with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
        handshake(tls.client_context(mesh.identity("a")), tls.server_context(expired))


def test_a_client_without_a_certificate_is_refused(mesh: MeshRoot) -> None:
    bare = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    bare.check_hostname = False
    bare.load_verify_locations(cadata=mesh.roots_pem.decode())
    with pytest.raises(ssl.SSLError, match="PEER_DID_NOT_RETURN_A_CERTIFICATE"):
        handshake(bare, tls.server_context(mesh.identity("reviews")))


def test_tls_1_2_is_refused(mesh: MeshRoot) -> None:
    old = tls.client_context(mesh.identity("a"))
    old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError):
        handshake(old, tls.server_context(mesh.identity("reviews")))


URI = x509.UniformResourceIdentifier


@pytest.mark.parametrize(
    "names",
    [
        (URI(spiffe("a")), URI(spiffe("b"))),
        (URI(spiffe("a")), URI("https://example.com/")),
        (URI("https://example.com/ns/x/sa/y"),),
        (x509.DNSName("reviews"),),
    ],
    ids=["two accounts", "another URI", "no SPIFFE id", "no URI"],
)
def test_a_peer_with_other_names_is_nobody(
    mesh: MeshRoot, names: tuple[x509.GeneralName, ...]
) -> None:
    client, _ = handshake(
        tls.client_context(mesh.identity("a")), tls.server_context(mesh.misnamed(*names))
    )
    assert tls.peer_spiffe_id(client) is None


def test_parse_spiffe_takes_the_meshs_form_alone() -> None:
    found = tls.parse_spiffe("spiffe://cluster.local/ns/default/sa/bookinfo-reviews")
    assert found == tls.SpiffeId("cluster.local", "default", "bookinfo-reviews")
    assert str(found) == "spiffe://cluster.local/ns/default/sa/bookinfo-reviews"


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "spiffe://cluster.local",
        "spiffe://cluster.local/ns/default/sa/",
        "spiffe://cluster.local/ns/default/sa/a/b",
        "spiffe://cluster.local/ns/default/sa/a\n",
        "spiffe://cluster.local/ns/default/sa/a?x",
        "spiffe://cluster.local/ns/../sa/a",
        "spiffe://cluster.local:80/ns/default/sa/a",
        "spiffe://u@cluster.local/ns/default/sa/a",
        "SPIFFE://cluster.local/ns/default/sa/a",
        "spiffe://cluster.local/ns/default/sa/\u0430",
        "x-spiffe://cluster.local/ns/default/sa/a",
    ],
)
def test_parse_spiffe_refuses(uri: str) -> None:
    assert tls.parse_spiffe(uri) is None


def test_a_csr_asks_for_the_account_and_its_chain_makes_an_identity(mesh: MeshRoot) -> None:
    key_pem = tls.generate_key()
    csr = tls.make_csr(key_pem, spiffe("reviews"))
    request = x509.load_pem_x509_csr(csr.encode())
    assert request.is_signature_valid
    identity = tls.Identity.from_pem(key_pem, mesh.signed(csr), mesh.roots_pem)
    assert identity.spiffe_id == spiffe("reviews")
    client, _ = handshake(tls.client_context(mesh.identity("a")), tls.server_context(identity))
    assert tls.peer_spiffe_id(client) == spiffe("reviews")


def test_an_identity_comes_back_from_its_folder(mesh: MeshRoot, tmp_path: Path) -> None:
    assert tls.Identity.load(tmp_path) is None
    mesh.identity("old").save(tmp_path)
    identity = mesh.identity("reviews")
    identity.save(tmp_path)
    assert tls.Identity.load(tmp_path) == identity
    assert [file.stat().st_mode & 0o777 for file in tmp_path.iterdir()] == [0o600]


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"key": 1, "chain": "", "roots": ""}'])
def test_a_damaged_file_is_said_to_be(tmp_path: Path, content: str) -> None:
    (tmp_path / "identity.json").write_text(content)
    with pytest.raises(tls.IdentityDamaged):
        tls.Identity.load(tmp_path)


def test_a_chain_for_another_key_makes_no_identity(mesh: MeshRoot) -> None:
    one, other = mesh.identity("a"), mesh.identity("a")
    with pytest.raises(tls.IdentityDamaged, match="another key"):
        tls.Identity.from_pem(one.key_pem, other.chain_pem, mesh.roots_pem)


def test_a_chain_with_other_names_makes_no_identity(mesh: MeshRoot) -> None:
    found = mesh.misnamed(URI("https://example.com/"))
    with pytest.raises(tls.IdentityDamaged, match="not one SPIFFE id"):
        tls.Identity.from_pem(found.key_pem, found.chain_pem, mesh.roots_pem)


def test_without_tls_there_is_no_peer() -> None:
    assert tls.peer_spiffe_id(asyncio.Transport()) is None
