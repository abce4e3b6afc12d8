"""A member process for the tests: accepts on what its holder gives and answers with its id.

`member.py HOLDER PROXY POOL NAME...`; command `stop` retires and ends. A request is a line.
"""

import asyncio
import sys
from typing import cast

import uvloop

from tulle.actors.holding.client import HolderClient
from tulle.actors.proxy.listener import Listener


class Answer(asyncio.Protocol):
    """Answers the first bytes with the member's id and closes."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._transport.write(f"{PROXY}\n".encode())
        self._transport.close()


async def main() -> None:
    stopped = asyncio.Event()
    lost = asyncio.Event()
    listeners: list[Listener] = []

    async def command(name: str) -> None:
        client.tell("draining")
        await client.retire()
        for listener in listeners:
            listener.stop_accepting()
        stopped.set()

    client = await HolderClient.connect(HOLDER, PROXY, POOL, command, lost.set)
    client.tell("starting")
    for name in NAMES:
        listeners.append(Listener(await client.listen(name), "gateway", Answer))
        listeners[-1].start()
    client.tell("ready", "serving")
    waits = [asyncio.create_task(stopped.wait()), asyncio.create_task(lost.wait())]
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    await asyncio.sleep(0.3)  # the last answers; `done` must be read before the end
    for listener in listeners:
        listener.close()
    client.close()


if __name__ == "__main__":
    HOLDER, PROXY, POOL, *NAMES = sys.argv[1:]
    uvloop.run(main())  # as in the actors
