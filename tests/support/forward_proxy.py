"""A tiny explicit HTTP proxy by host name, to run the demo's applications without a mesh."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from urllib.parse import urlsplit


@asynccontextmanager
async def forward_proxy(ports: Mapping[str, int]) -> AsyncIterator[str]:
    """Serves as `http_proxy`; yields its URL. `ports`: host -> port on loopback; others get 502."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            method, target, rest = head.split(b" ", 2)
            url = urlsplit(target.decode())
            if (port := ports.get(url.hostname or "")) is None:
                writer.write(b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n")
                return
            version, headers = rest.split(b"\r\n", 1)
            line = b"%b %b %b\r\nconnection: close\r\n" % (method, url.path.encode(), version)
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", port)
            up_writer.write(line + headers.replace(b"Connection: keep-alive\r\n", b""))
            writer.write(await up_reader.read(-1))
            up_writer.close()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await server.wait_closed()
