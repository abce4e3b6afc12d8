"""The bookstore's applications as processes, without a mesh: a tiny proxy finds them by name."""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import httpx2
import pytest

from tests.support.forward_proxy import forward_proxy
from tulle.deploy.demo.children import Child
from tulle.deploy.demo.exchange import Answer
from tulle.deploy.demo.pages import page_of
from tulle.deploy.demo.traffic import Traffic

SERVICES = {"details": "v1", "ratings": "v1", "reviews": "v3", "productpage": "v1"}


@asynccontextmanager
async def bookstore(folder: Path, without: str = "") -> AsyncIterator[dict[str, int]]:
    """Runs the applications; yields their ports."""
    ports = {service: free_port() for service in SERVICES if service != without}
    async with AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(forward_proxy(ports))
        for service, port in ports.items():
            child = await start(folder, service, port, proxy)
            stack.push_async_callback(child.end, 10.0)
            await listening(child, port)
        yield ports


async def start(folder: Path, service: str, port: int, proxy: str) -> Child:
    env = {**os.environ, "http_proxy": proxy, "PORT": str(port)}
    command = (sys.executable, "-m", f"tulle.deploy.demo.apps.{service}", SERVICES[service])
    return await Child.start(service, command, env, folder / f"{service}.log")


async def listening(child: Child, port: int) -> None:
    async with asyncio.timeout(20):
        while True:
            child.check()
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                await writer.wait_closed()
                return


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


@pytest.mark.asyncio
async def test_whole_pages_for_programs_and_browsers(tmp_path: Path) -> None:
    async with bookstore(tmp_path) as ports:
        traffic = Traffic(("127.0.0.1", ports["productpage"]))
        traffic.start()
        pages = await traffic.pages_after(0.0, 12, seconds=20)
        await traffic.stop()
        assert [page.error for page in pages if page.failed] == []
        assert {page.version("reviews") for page in pages} == {"v3"}
        url = f"http://127.0.0.1:{ports['productpage']}/productpage"
        async with httpx2.AsyncClient(trust_env=False) as client:
            answer = await client.get(url, headers={"accept": "text/html"})
        assert answer.headers["content-type"].startswith("text/html")
        assert "The Comedy of Errors" in answer.text


@pytest.mark.asyncio
async def test_a_page_without_a_part_is_200_and_names_it(tmp_path: Path) -> None:
    async with bookstore(tmp_path, without="ratings") as ports:
        url = f"http://127.0.0.1:{ports['productpage']}/productpage"
        async with httpx2.AsyncClient(trust_env=False) as client:
            answer = await client.get(url)
        page = page_of(Answer(answer.status_code, {}, answer.content), 0.0, 0.0, retried=False)
        assert (page.status, page.error) == (200, "ratings missing (502 Bad Gateway)")
