"""The probes of step 1 against servers that do what the step must notice."""

import asyncio
import datetime
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tulle.deploy.demo import probes

SPIFFE_ID = "spiffe://cluster.local/ns/default/sa/reviews"


def server_context(folder: Path, verify: ssl.VerifyMode) -> ssl.SSLContext:
    """A TLS 1.3 server with a self-signed certificate that carries `SPIFFE_ID`."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([])
    now = datetime.datetime.now(datetime.UTC)
    uri = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(SPIFFE_ID)])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(uri, critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    form, secret = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    file = folder / "server.pem"
    file.write_bytes(key.private_bytes(pem, form, secret) + certificate.public_bytes(pem))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(file)
    context.load_verify_locations(file)
    context.verify_mode = verify
    return context


@asynccontextmanager
async def server(answer: bytes, context: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Answers what it gets with `answer` and closes; yields its port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(answer)
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield listening.sockets[0].getsockname()[1]
    finally:
        listening.close()
        await listening.wait_closed()


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("verify", "answered"), [(ssl.CERT_REQUIRED, 0), (ssl.CERT_NONE, 5)], ids=["strict", "open"]
)
async def test_the_certificate_is_seen_and_whether_nobody_was_answered(
    tmp_path: Path, verify: ssl.VerifyMode, answered: int
) -> None:
    async with server(b"hello", server_context(tmp_path, verify)) as port:
        presented = await asyncio.to_thread(probes.present_nothing, "127.0.0.1", port)
    assert presented == probes.Presented((SPIFFE_ID,), "TLSv1.3", answered)


@pytest.mark.asyncio
@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
async def test_a_plain_connection_counts_the_bytes_of_an_answer(answer: bytes) -> None:
    async with server(answer) as port:
        assert await asyncio.to_thread(probes.speak_plainly, "127.0.0.1", port) == len(answer)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("answer", "asked"),
    [
        (b"", probes.Asked(0, "")),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", probes.Asked(200, "")),
        (
            b"HTTP/1.1 403 Forbidden\r\nx-tulle-reason: rbac_denied\r\ncontent-length: 0\r\n\r\n",
            probes.Asked(403, "rbac_denied"),
        ),
    ],
    ids=["closed", "let in", "denied"],
)
async def test_what_a_plain_request_gets(answer: bytes, asked: probes.Asked) -> None:
    async with server(answer) as port:
        assert await asyncio.to_thread(probes.ask_plainly, "127.0.0.1", port, "/") == asked
