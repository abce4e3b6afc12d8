"""An HTTPS server outside the mesh, in threads: answers every GET with the SNI that it saw."""

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread


class SaysItsName(BaseHTTPRequestHandler):
    """Answers with the SNI of the connection."""

    def do_GET(self) -> None:
        body = str(getattr(self.connection, "sni", "")).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


class TlsServer(ThreadingHTTPServer):
    """Handshakes in the thread of the connection; one that fails is the client's affair."""

    context: ssl.SSLContext

    def finish_request(self, request: object, client_address: object) -> None:
        assert isinstance(request, socket.socket)
        with self.context.wrap_socket(request, server_side=True) as tls:
            super().finish_request(tls, client_address)

    def handle_error(self, *_: object) -> None:
        """Nothing is printed."""


@contextmanager
def tls_server(context: ssl.SSLContext) -> Iterator[int]:
    """Its port."""
    context.sni_callback = lambda sock, name, _: setattr(sock, "sni", name)
    with TlsServer(("127.0.0.1", 0), SaysItsName) as server:
        server.context = context
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()
