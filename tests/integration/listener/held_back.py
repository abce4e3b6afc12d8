"""An inbound listener for a test of its CPU: prints its port, and for each line of input

`<accepted> <open> <CPU seconds of this process>`.
"""

import asyncio
import sys
import time

import uvloop

from tests.support.certificates import MeshRoot
from tulle.actors.holding.group import open_listening
from tulle.actors.proxy import tls
from tulle.actors.proxy.listener import Limits, Listener


async def main() -> None:
    sock = open_listening("127.0.0.1", 0)
    context = tls.server_context(MeshRoot().identity("reviews"))
    limits = Limits(sniff_seconds=60.0)
    listener = Listener(sock, "inbound", asyncio.Protocol, lambda _: context, limits)
    listener.start()
    print(sock.getsockname()[1], flush=True)
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()

    def answer() -> None:
        if not sys.stdin.readline():
            ended.set()
            return
        print(listener.accepted, listener.open, time.process_time(), flush=True)

    loop.add_reader(sys.stdin.fileno(), answer)
    await ended.wait()
    listener.close()


if __name__ == "__main__":
    uvloop.run(main())
