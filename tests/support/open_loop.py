"""Requests at a steady rate, each on a connection of its own, whatever becomes of those before.

A program, so that it can run in the mesh (`http_proxy` is honoured) or outside of it, and so that
its clock is not held up by the test:

    python open_loop.py URL HOST PER_SECOND FILE

Writes a line per request to FILE, as it ends: `<began> <ended> <problem>`, times of the monotonic
clock in seconds, which all processes of a machine share; the problem of an answer 200 is `-`.
Ends on SIGTERM, with what is under way. Only the standard library: it is run by path.
"""

import asyncio
import base64
import os
import signal
import sys
import time
from collections.abc import Awaitable
from typing import TextIO
from urllib.parse import unquote, urlsplit

PATIENCE_SECONDS = 60.0


async def ask(url: str, host: str) -> str:
    """One request; its problem, `-` when it is answered with 200."""
    target = urlsplit(url)
    address, lines, path = target, [f"host: {host or target.netloc}"], target.path or "/"
    if proxy := os.environ.get("http_proxy"):
        address, path = urlsplit(proxy), url
        user = f"{unquote(address.username or '')}:{unquote(address.password or '')}"
        lines.append(f"proxy-authorization: Basic {base64.b64encode(user.encode()).decode()}")
    head = "\r\n".join([f"GET {path} HTTP/1.1", *lines, "connection: close", "", ""])
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            reader, writer = await asyncio.open_connection(address.hostname, address.port)
            try:
                writer.write(head.encode())
                answer = await reader.read()
            finally:
                writer.close()
    except ConnectionRefusedError:
        return "refused"
    except (OSError, TimeoutError) as error:
        return type(error).__name__
    return problem_of(answer)


def problem_of(answer: bytes) -> str:
    """The problem of a whole answer: its status and reason, `cut` when nothing came."""
    status = answer.split(b" ", 2)[1:2]
    if not status:
        return "cut"
    if status == [b"200"]:
        return "-"
    reasons = [line for line in answer.split(b"\r\n") if line.startswith(b"x-tulle-reason")]
    return b"_".join([*status, *(reason.split()[-1] for reason in reasons)]).decode()


async def noted(request: Awaitable[str], file: TextIO) -> None:
    """Writes down what becomes of a request."""
    began = time.monotonic()
    problem = await request
    print(began, time.monotonic(), problem, file=file, flush=True)


async def run(url: str, host: str, per_second: float, file: TextIO) -> None:
    """Until SIGTERM."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    due = time.monotonic()
    async with asyncio.TaskGroup() as requests:
        while not stop.is_set():
            requests.create_task(noted(ask(url, host), file))
            due += 1 / per_second
            try:
                async with asyncio.timeout(max(0.0, due - time.monotonic())):
                    await stop.wait()
            except TimeoutError:
                pass


if __name__ == "__main__":
    _url, _host, _rate, _path = sys.argv[1:]
    with open(_path, "w", encoding="ascii") as _file:
        asyncio.run(run(_url, _host, float(_rate), _file))
