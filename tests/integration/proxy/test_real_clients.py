"""curl and httpx2 through two sidecars to uvicorn; curl through a gateway to nginx."""

import asyncio
import base64
import contextlib
import json
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from tests.support.awaiting import until
from tests.support.certificates import MeshRoot
from tests.support.serving_plane import (
    PASSWORD,
    gateway,
    hosts_config,
    listening,
    outbound_config,
    service_cluster,
    service_record,
    spec,
)
from tulle.actors.proxy.plane import Plane
from tulle.actors.proxy.tls import server_context

pytestmark = pytest.mark.asyncio


async def echo(request: Request) -> JSONResponse:
    body = await request.body()
    return JSONResponse(
        {
            "method": request.method,
            "path": str(request.url.path),
            "length": len(body),
            "names": sorted(request.headers.keys()),
        }
    )


async def stream(request: Request) -> Response:
    async def count() -> AsyncIterator[bytes]:
        for n in range(50):
            yield b"%d\n" % n * 1_000

    return StreamingResponse(count())


@asynccontextmanager
async def uvicorn_app() -> AsyncIterator[int]:
    """The port of a real application server, on the test's loop."""
    app = Starlette(
        routes=[Route("/echo", echo, methods=["GET", "POST"]), Route("/stream", stream)]
    )
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
    with socket.create_server(("127.0.0.1", 0)) as sock:
        # Not serve(): that would take the signals of pytest.
        serving = asyncio.ensure_future(server._serve([sock]))
        await until(lambda: server.started)
        yield sock.getsockname()[1]
        server.should_exit = True
        await serving


@asynccontextmanager
async def sidecars() -> AsyncIterator[str]:
    """The proxy URL of an app that may call reviews:9080."""
    root = MeshRoot()
    ours = Plane(spec("sidecar", 0, "shop"), loop=asyncio.get_running_loop(), want_host=print)
    async with uvicorn_app() as app:
        theirs = Plane(
            spec("sidecar", app, "reviews"), loop=asyncio.get_running_loop(), want_host=print
        )
        context = server_context(root.identity("reviews"))
        async with listening(lambda: theirs.inbound_protocol(9080), context) as inbound:
            ours.install_identity(root.identity("shop"))
            ours.install_hosts(hosts_config("reviews"))
            ours.install_service(service_record(inbound))
            ours.install_outbound(outbound_config(service_cluster()))
            async with listening(ours.outbound_protocol) as port:
                yield f"http://tulle:{PASSWORD.decode()}@127.0.0.1:{port}"
                await ours.drain("all", 0)
                await theirs.drain("all", 0)


async def curl(*arguments: str) -> bytes:
    """What curl prints; fails when it fails."""
    process = await asyncio.create_subprocess_exec(
        "curl", "-sS", "--max-time", "10", *arguments, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    return out


async def test_curl_and_uvicorn(tmp_path: Path) -> None:
    upload = tmp_path / "upload"
    upload.write_bytes(b"x" * 3_000_000)
    async with sidecars() as proxy:
        answer = json.loads(await curl("-x", proxy, "http://reviews:9080/echo"))
        assert answer["path"] == "/echo"
        assert not {"proxy-authorization", "proxy-connection", "x-tulle-peer"} & {*answer["names"]}
        # curl asks for 100-continue by itself for a large body.
        sent = await curl("-x", proxy, "-T", str(upload), "-X", "POST", "http://reviews/echo")
        assert json.loads(sent)["length"] == 3_000_000
        chunked = ["-H", "Transfer-Encoding: chunked", "-T", str(upload), "-X", "POST"]
        sent = await curl("-x", proxy, *chunked, "http://reviews.default/echo")
        assert json.loads(sent)["length"] == 3_000_000
        whole = b"".join(b"%d\n" % n * 1_000 for n in range(50))
        assert await curl("-x", proxy, "http://reviews:9080/stream") == whole
        assert await curl("-0", "-x", proxy, "http://reviews:9080/stream") == whole
        head = await curl("-I", "-x", proxy, "http://reviews:9080/echo")
        assert head.startswith(b"HTTP/1.1 200 OK")
        denied = await curl("-i", "-x", proxy.replace("let", "no"), "http://reviews:9080/echo")
        assert denied.startswith(b"HTTP/1.1 407 ")


async def test_httpx_and_uvicorn() -> None:
    async with (
        sidecars() as proxy,
        httpx2.AsyncClient(
            proxy=httpx2.Proxy(
                "http://" + proxy.partition("@")[2],
                headers={
                    "Proxy-Authorization": "Basic "
                    + base64.b64encode(b"tulle:" + PASSWORD).decode()
                },
            ),
            timeout=10,
        ) as client,
    ):
        for _ in range(3):
            answers = await asyncio.gather(
                *(client.post("http://reviews:9080/echo", content=b"y" * n) for n in range(20))
            )
            assert [answer.json()["length"] for answer in answers] == list(range(20))


@asynccontextmanager
async def nginx(folder: Path) -> AsyncIterator[int]:
    """The port of an nginx that serves the folder `files`."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    config = folder / "nginx.conf"
    config.write_text(
        f"daemon off; master_process off; pid {folder}/pid; error_log {folder}/error;"
        f"events {{}} http {{ access_log off; client_body_temp_path {folder}/body;"
        f" proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u;"
        f" scgi_temp_path {folder}/s; keepalive_requests 3;"
        f" server {{ listen 127.0.0.1:{port}; root {folder}/files; }} }}"
    )
    process = await asyncio.create_subprocess_exec(
        "nginx", "-c", str(config), "-e", f"{folder}/error", stderr=asyncio.subprocess.DEVNULL
    )
    try:
        for _ in range(200):
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                break
            await asyncio.sleep(0.02)
        yield port
    finally:
        process.terminate()
        await process.wait()


@pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed")
async def test_curl_and_nginx(tmp_path: Path) -> None:
    files = tmp_path / "files"
    files.mkdir()
    (files / "small").write_bytes(b"hello")
    (files / "large").write_bytes(bytes(range(256)) * 80_000)
    async with nginx(tmp_path) as server, gateway(server) as (_, port):
        urls = [f"http://127.0.0.1:{port}/small"] * 10
        assert await curl(*urls) == b"hello" * 10  # nginx closes after each third request
        assert await curl(f"http://127.0.0.1:{port}/large") == (files / "large").read_bytes()
        part = await curl("-r", "1000-1999", f"http://127.0.0.1:{port}/large")
        assert part == (files / "large").read_bytes()[1000:2000]
        tag = (await curl("-i", urls[0])).split(b"ETag: ")[1].split(b"\r\n")[0].decode()
        unchanged = await curl("-i", "-H", f"If-None-Match: {tag}", urls[0])
        assert unchanged.startswith(b"HTTP/1.1 304 ")
        assert (await curl("-i", f"{urls[0]}-not")).startswith(b"HTTP/1.1 404 Not Found")
