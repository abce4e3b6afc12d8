"""A client of the mesh that stays: many requests through the sidecar of one `tulle run`.

    with mesh_client(mesh, "alice") as alice:
        alice.get("http://stock:9080/")            # as any program of `tulle run alice` would

Starting a `tulle run` for each request would take seconds.
"""

import http.client
import socket
import sys
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from tests.support.mesh import READY_SECONDS, Mesh, Reply, reply_of, until

SECONDS = 15.0
_SAYS_ITS_PROXY = """\
import os, time
print(os.environ["http_proxy"], flush=True)
time.sleep(3600)
"""


@dataclass(frozen=True, slots=True)
class MeshClient:
    """`proxy`: the URL with the credential that the app got."""

    proxy: str

    def get(self, url: str, headers: Mapping[str, str] | None = None) -> Reply:
        """A GET on a connection of its own."""
        connection = http.client.HTTPConnection(*self.address, timeout=SECONDS)
        sent = {"proxy-authorization": self._authorization, **(headers or {})}
        try:
            connection.request("GET", url, headers={"host": urlsplit(url).netloc, **sent})
            return reply_of(connection.getresponse())
        finally:
            connection.close()

    def tunnel(self, authority: str) -> socket.socket:
        """A connection to `host:port` by CONNECT."""
        sock = socket.create_connection(self.address, SECONDS)
        head = f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n"
        sock.sendall(f"{head}Proxy-Authorization: {self._authorization}\r\n\r\n".encode())
        answer = b""
        while not answer.endswith(b"\r\n\r\n"):
            byte = sock.recv(1)
            assert byte, f"closed after {answer!r}"
            answer += byte
        assert answer.startswith(b"HTTP/1.1 200 "), answer
        return sock

    @property
    def address(self) -> tuple[str, int]:
        """Where its sidecar listens for it."""
        at = urlsplit(self.proxy)
        return at.hostname or "", at.port or 0

    @property
    def credential(self) -> str:
        """The workload's, which is a secret."""
        return urlsplit(self.proxy).password or ""

    @property
    def _authorization(self) -> str:
        user = urlsplit(self.proxy).username
        return "Basic " + b64encode(f"{user}:{self.credential}".encode()).decode()


@contextmanager
def mesh_client(mesh: Mesh, account: str) -> Iterator[MeshClient]:
    """`tulle run ACCOUNT`, without a port."""
    app = mesh.start_client(account, sys.executable, "-c", _SAYS_ITS_PROXY)
    try:
        until(lambda: "http://" in app.said(), READY_SECONDS)
        yield MeshClient(app.said().strip())
    finally:
        app.end()
