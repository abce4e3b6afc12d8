"""A member process for the tests: accepts on what its holder gives and answers with its id.

`member.py HOLDER PROXY POOL NAME...`; command `stop` retires and ends. A request is a line.
"""

import asyncio
import socket
import sys

import uvloop

from tulle.actors.holding.client import HolderClient


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readline()
    writer.write(f"{PROXY}\n".encode())
    await writer.drain()
    writer.close()


async def main() -> None:
    stopped = asyncio.Event()
    lost = asyncio.Event()

    async def command(name: str) -> None:
        client.tell("draining")
        await client.retire()
        for server in servers:
            server.close()
        stopped.set()

    client = await HolderClient.connect(HOLDER, PROXY, POOL, command, lost.set)
    client.tell("starting")
    servers = [await serve(await client.listen(name)) for name in NAMES]
    client.tell("ready", "serving")
    waits = [asyncio.create_task(stopped.wait()), asyncio.create_task(lost.wait())]
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    await asyncio.sleep(0.3)  # the last answers; `done` must be read before the end
    client.close()


async def serve(sock: socket.socket) -> asyncio.Server:
    return await asyncio.start_server(answer, sock=sock, backlog=4096)


if __name__ == "__main__":
    HOLDER, PROXY, POOL, *NAMES = sys.argv[1:]
    uvloop.run(main())  # as in the actors
