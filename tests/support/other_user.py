"""A client of another user of this machine: a process that becomes that user, then connects.

`ask_as` starts it, as root: that user may not be allowed to read Python or us.
"""

import asyncio
import encodings.idna  # noqa: F401 - `connect` asks for it when the user has changed
import os
import socket
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


async def ask_as(uid: int, address: str, port: int) -> str:
    """What a process of `uid` gets for a request without a credential: a status, or `closed`."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.support.other_user", str(uid), address, str(port)),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(20):
        out, _ = await process.communicate()
    return out.decode().strip()


def main() -> None:
    """Arguments: uid, address, port. Prints what it got."""
    uid, address, port = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    if uid != os.getuid():
        os.setuid(uid)
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as sock:
        sock.settimeout(10)
        sock.connect((address, port))
        try:
            sock.sendall(b"GET http://reviews/ HTTP/1.1\r\nHost: reviews\r\n\r\n")
            answer = sock.recv(65_536)
        except ConnectionError:
            answer = b""
    print(answer[9:12].decode() or "closed", flush=True)


if __name__ == "__main__":
    main()
