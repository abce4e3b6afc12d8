"""Connections that hold back what they are cost next to nothing."""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = Path(__file__).with_name("held_back.py")
CONNECTIONS = 200


class Process:
    """held_back.py, running."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def line(self) -> str:
        assert self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), 20)
        return line.decode()

    async def ask(self) -> tuple[int, int, float]:
        """(accepted, open, CPU seconds)."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")
        accepted, still_open, cpu = (await self.line()).split()
        return int(accepted), int(still_open), float(cpu)


@asynccontextmanager
async def listening() -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(SCRIPT),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    try:
        yield Process(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), 10)
        except TimeoutError:
            process.kill()
            await process.wait()


@pytest.mark.asyncio
@pytest.mark.parametrize("held", [b"\x16", b"\x16\x03\x01\x02\x00"], ids=["1 byte", "5 bytes"])
async def test_200_connections_that_hold_back_a_byte_cost_under_5_percent(held: bytes) -> None:
    async with listening() as process:
        address = ("127.0.0.1", int(await process.line()))
        ends = [socket.create_connection(address) for _ in range(CONNECTIONS)]
        try:
            for end in ends:
                end.sendall(held)
            async with asyncio.timeout(20):
                while (await process.ask())[0] < CONNECTIONS:  # noqa: ASYNC110 - it is asked
                    await asyncio.sleep(0.05)
            await asyncio.sleep(0.1)
            _, _, before = await process.ask()
            await asyncio.sleep(2)
            _, still_open, after = await process.ask()
        finally:
            for end in ends:
                end.close()
    assert still_open == CONNECTIONS
    assert (after - before) / 2 < 0.05
