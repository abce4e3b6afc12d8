"""Three member processes under a load of new connections: retired and killed, none is refused."""

import asyncio
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from tulle.actors.holding.holder import Holder

MEMBER = Path(__file__).with_name("member.py")
CLIENTS = 8


class Load:
    """Clients that make one connection after the other and count what comes of them."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.answered: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self._address = address
        self._progress = asyncio.Condition()

    async def until_answered(self, more: int) -> Counter[str]:
        """Waits for `more` answers from now on and returns by whom."""
        before = self.answered.copy()
        async with asyncio.timeout(30), self._progress:
            await self._progress.wait_for(lambda: (self.answered - before).total() >= more)
        return self.answered - before

    async def client(self) -> None:
        while True:
            try:
                async with asyncio.timeout(15):
                    member = await self._exchange()
            except (OSError, TimeoutError) as e:
                self.failed[type(e).__name__] += 1
                continue
            self.answered[member] += 1
            async with self._progress:
                self._progress.notify_all()

    async def _exchange(self) -> str:
        reader, writer = await asyncio.open_connection(*self._address)
        try:
            writer.write(b"who\n")
            line = await reader.readline()
        finally:
            writer.close()
        if not line:
            raise ConnectionResetError
        return line.decode().strip()


@asynccontextmanager
async def load(address: tuple[str, int]) -> AsyncIterator[Load]:
    running = Load(address)
    clients = [asyncio.create_task(running.client()) for _ in range(CLIENTS)]
    try:
        yield running
    finally:
        for client in clients:
            client.cancel()
        await asyncio.gather(*clients, return_exceptions=True)


class Pool:
    """Member processes of the pool `ingress` and their holder."""

    def __init__(self, path: str) -> None:
        self.holder = Holder(path, lambda proxy, pool, name: ("127.0.0.1", 0))
        self._path = path
        self._members: dict[str, asyncio.subprocess.Process] = {}

    async def start(self, *members: str) -> None:
        for member in members:
            self._members[member] = await asyncio.create_subprocess_exec(
                sys.executable, str(MEMBER), self._path, member, "ingress", "gateway:80"
            )
        for member in members:
            await self.holder.wait_state(member, "ready", 20)

    @property
    def address(self) -> tuple[str, int]:
        return self.holder.addresses("ingress")["gateway:80"]

    async def retire(self, member: str) -> None:
        await self.holder.command(member, "stop", 20)
        assert await self._members.pop(member).wait() == 0

    async def kill(self, member: str) -> None:
        process = self._members.pop(member)
        process.kill()
        await process.wait()

    async def close(self) -> None:
        for member in list(self._members):
            with suppress(ProcessLookupError):
                await self.kill(member)
        await self.holder.close()


@asynccontextmanager
async def pool() -> AsyncIterator[Pool]:
    with tempfile.TemporaryDirectory(prefix="tulle-", dir="/tmp") as folder:
        running = Pool(f"{folder}/holder.sock")
        await running.holder.start()
        try:
            yield running
        finally:
            await running.close()


@pytest.mark.asyncio
async def test_the_load_spreads_and_no_retirement_costs_a_connection() -> None:
    async with pool() as members:
        await members.start("a", "b", "c")
        async with load(members.address) as traffic:
            spread = await traffic.until_answered(600)
            assert set(spread) == {"a", "b", "c"}
            assert max(spread.values()) < spread.total() / 2
            # Each place of the kernel's order leaves once: the first, the middle, the last.
            for leaving, joining in (("a", "d"), ("b", "e"), ("d", "f")):
                await members.retire(leaving)
                assert leaving not in await traffic.until_answered(200)
                await members.start(joining)
                assert joining in await traffic.until_answered(200)
            await asyncio.gather(members.retire("c"), members.retire("f"))
            assert set(await traffic.until_answered(200)) == {"e"}
        assert not traffic.failed


@pytest.mark.asyncio
async def test_a_killed_member_costs_no_refused_connection_and_gets_its_socket_back() -> None:
    async with pool() as members:
        await members.start("a", "b", "c")
        address = members.address
        async with load(address) as traffic:
            for victim in ("a", "c"):
                await traffic.until_answered(200)
                await members.kill(victim)
                # What the victim had accepted is answered by nobody; the rest go to the others.
                await traffic.until_answered(200)
                assert victim not in await traffic.until_answered(200)
                await members.start(victim)
                assert victim in await traffic.until_answered(200)
            assert members.address == address
        assert traffic.failed["ConnectionRefusedError"] == 0
        assert traffic.failed["TimeoutError"] == 0
        assert traffic.failed.total() <= 2 * CLIENTS


@pytest.mark.asyncio
async def test_the_only_member_killed_connections_wait_for_the_next() -> None:
    async with pool() as members:
        await members.start("a")
        async with load(members.address) as traffic:
            for _ in range(2):
                await traffic.until_answered(100)
                await members.kill("a")
                await members.start("a")
            await traffic.until_answered(100)
        assert traffic.failed["ConnectionRefusedError"] == 0
        assert traffic.failed["TimeoutError"] == 0
        assert traffic.failed.total() <= 2 * CLIENTS
