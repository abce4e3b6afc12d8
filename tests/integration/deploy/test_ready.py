"""When `up` calls a mesh ready: its API answers as told, its HTTP port is a real one."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from tests.support.api import FakeMesh
from tulle.bus.messages import PoolRecord, ProxyReport, ServicesAnswer, StatusAnswer
from tulle.deploy.api import Api
from tulle.deploy.binding import Binding
from tulle.deploy.ready import Readiness, unless

GATEWAY = ProxyReport(
    id="ingress-abcde",
    role="gateway",
    state="ready",
    revision=1,
    current=True,
    listening=["gateway:80 127.0.0.1:8080"],
)
SECONDS = 5


def mesh(*proxies: ProxyReport, replicas: int = 1) -> FakeMesh:
    pools = [PoolRecord(name="ingress", replicas=replicas)]
    return FakeMesh(
        {
            "status": [StatusAnswer(id="1", ok=True, proxies=list(proxies))],
            "services": [ServicesAnswer(id="1", ok=True, pools=pools)],
        }
    )


@contextlib.asynccontextmanager
async def collector(address: str = "127.0.0.1") -> AsyncIterator[Binding]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(answer, address, 0)
    try:
        yield Binding(address, 0, server.sockets[0].getsockname()[1])
    finally:
        server.close()
        await server.wait_closed()


def readiness(of: FakeMesh, binding: Binding, said: list[str]) -> Readiness:
    return Readiness(Api("default", of, retries=False), binding, said.append)


@pytest.mark.asyncio
@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.2", "0.0.0.0"])
async def test_the_collector_is_asked_where_it_is_bound(address: str) -> None:
    said: list[str] = []
    async with asyncio.timeout(SECONDS), collector(address) as binding:
        await readiness(mesh(GATEWAY), binding, said).wait()

    assert sorted(said) == ["collector", "evaluator", "ingress gateway", "supervisor"]


@pytest.mark.asyncio
async def test_it_waits_for_a_gateway_that_serves() -> None:
    behind = GATEWAY.model_copy(update={"current": False})
    async with collector() as binding:
        asked = readiness(mesh(behind), binding, [])
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await asked.wait()

    assert asked.missing == ["ingress gateway"]


@pytest.mark.asyncio
async def test_an_ingress_that_was_scaled_to_0_is_not_waited_for_and_that_is_said() -> None:
    said: list[str] = []
    async with asyncio.timeout(SECONDS), collector() as binding:
        await readiness(mesh(replicas=0), binding, said).wait()

    assert any("scale ingress 1" in line for line in said)


async def never() -> None:
    await asyncio.Event().wait()


async def fail() -> None:
    raise ZeroDivisionError


@pytest.mark.asyncio
async def test_what_kept_it_from_being_ready_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        await unless(never(), fail())
    with pytest.raises(ZeroDivisionError):
        await unless(fail(), never())
    await unless(never(), asyncio.sleep(0))
