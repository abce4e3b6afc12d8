"""An app that says which requests it has begun: `python ledger_app.py FILE`, on port $PORT.

Each request is a line `METHOD PATH WORKLOAD` of FILE, written before the answer, which takes
`ANSWER_SECONDS`. SIGTERM ends it at once, in the middle of whatever it does.
"""

import asyncio
import os
import sys

ANSWER_SECONDS = 0.05
WORKLOAD = os.environ.get("TULLE_WORKLOAD", "")
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok\n"


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            method, path, _ = head.decode().split(" ", 2)
            # One write to a file opened for appending: lines of several apps do not mix.
            os.write(LEDGER, f"{method} {path} {WORKLOAD}\n".encode())
            await asyncio.sleep(ANSWER_SECONDS)
            writer.write(ANSWER)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def main() -> None:
    server = await asyncio.start_server(serve, "127.0.0.1", int(os.environ["PORT"]))
    await server.serve_forever()


LEDGER = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
asyncio.run(main())
