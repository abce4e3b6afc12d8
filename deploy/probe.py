"""Whether an app is up: it accepts connections on its ports, and answers `--health` with 2xx.

Plain asyncio streams to loopback: the app's own port, never through the sidecar. `ready.py` asks
the collector in the same way.
"""

import asyncio
import contextlib
from collections.abc import Sequence

SECONDS = 1.0
LOOPBACK = "127.0.0.1"
_LONGEST_LINE = 8192


async def healthy(
    ports: Sequence[int],
    health: str = "",
    seconds: float = SECONDS,
    address: str = LOOPBACK,
) -> bool:
    """One check, `seconds` long at most. `health` is a path, asked on the first port."""
    if not ports:
        return True
    try:
        async with asyncio.timeout(seconds):
            if health:
                answered = await _answers(address, ports[0], health)
                return answered and all([await _accepts(address, port) for port in ports[1:]])
            return all([await _accepts(address, port) for port in ports])
    except (OSError, TimeoutError, ValueError):
        return False


async def _accepts(address: str, port: int) -> bool:
    _, writer = await asyncio.open_connection(address, port)
    await _close(writer)
    return True


async def _answers(address: str, port: int, path: str) -> bool:
    reader, writer = await asyncio.open_connection(address, port, limit=_LONGEST_LINE)
    try:
        request = f"GET {path} HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n\r\n"
        writer.write(request.encode("latin-1"))
        version, status, *_ = (await reader.readline()).split(None, 2)
        return version.startswith(b"HTTP/1.") and status[:1] == b"2"
    finally:
        await _close(writer)


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
