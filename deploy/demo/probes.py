"""Knocks at a sidecar's inbound port as somebody who holds no certificate of the mesh.

Blocking sockets on purpose: a step calls these in threads. Counterpart: actors.proxy.listener.
"""

import http.client
import socket
import ssl
from dataclasses import dataclass

from cryptography import x509

SECONDS = 5.0
_REQUEST = b"GET / HTTP/1.1\r\nHost: reviews\r\nConnection: close\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Presented:
    """What a port showed to a client without certificate.

    `answered`: bytes of an answer that it gave all the same. `uris`: of its certificate.
    """

    uris: tuple[str, ...]
    tls: str
    answered: int


def present_nothing(address: str, port: int) -> Presented:
    """A TLS connection without client certificate. Under TLS 1.3 the server's certificate comes
    before it refuses. Raises OSError (ssl.SSLError too) when there is no handshake at all."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # it only looks
    with socket.create_connection((address, port), SECONDS) as plain:
        with context.wrap_socket(plain) as tls:
            certificate = tls.getpeercert(binary_form=True)
            assert certificate is not None  # a TLS server always shows one
            version = tls.version() or ""  # none any more once it is closed
            return Presented(uris_of(certificate), version, _answer_to(tls, _REQUEST))


def speak_plainly(address: str, port: int) -> int:
    """A request without TLS; how many bytes came back before the port closed the connection.

    Raises `TimeoutError` when it does not close."""
    with socket.create_connection((address, port), SECONDS) as plain:
        return _answer_to(plain, _REQUEST)


@dataclass(frozen=True, slots=True)
class Asked:
    """What came back for a request: status 0 is a connection that was closed without a byte."""

    status: int
    reason: str

    def __str__(self) -> str:
        return f"{self.status} {self.reason}".rstrip() if self.status else "closed without a byte"


def ask_plainly(address: str, port: int, path: str) -> Asked:
    """GETs `path` without TLS. Raises OSError, among them `TimeoutError`."""
    connection = http.client.HTTPConnection(address, port, timeout=SECONDS)
    try:
        connection.request("GET", path, headers={"connection": "close"})
        answer = connection.getresponse()
        answer.read()
        return Asked(answer.status, answer.headers.get("x-tulle-reason", ""))
    except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
        return Asked(0, "")
    finally:
        connection.close()


def uris_of(certificate: bytes) -> tuple[str, ...]:
    """The URIs in the subject alternative names of a DER certificate."""
    names = x509.load_der_x509_certificate(certificate).extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    return tuple(names.value.get_values_for_type(x509.UniformResourceIdentifier))


def _answer_to(sock: socket.socket, request: bytes) -> int:
    received = 0
    try:
        sock.sendall(request)
        while data := sock.recv(4096):
            received += len(data)
    except (ConnectionError, ssl.SSLError):
        pass  # refused: it need not say so politely
    return received
