"""The access logs of two sidecars, on real sockets and mTLS: one request, a line on each side."""

import asyncio
import json
import shlex
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.support.awaiting import until
from tests.support.certificates import MeshRoot
from tests.support.serving_plane import (
    CREDENTIAL,
    PASSWORD,
    Backend,
    answering,
    connected,
    hosts_config,
    listening,
    outbound_config,
    service_cluster,
    service_record,
    spec,
)
from tulle.actors.proxy.plane import Plane
from tulle.actors.proxy.spec import AccessLogForm
from tulle.actors.proxy.tls import server_context

HEAD = b"GET http://reviews:9080/x?y=1 HTTP/1.1\r\nHost: ignored\r\nUser-Agent: a test\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"

pytestmark = pytest.mark.asyncio


def plane_of(service: str, folder: Path, form: AccessLogForm, app: int = 0) -> Plane:
    return Plane(
        replace(spec("sidecar", app, service), access_log=form, log_folder=str(folder)),
        loop=asyncio.get_running_loop(),
        want_host=lambda host: None,
    )


@asynccontextmanager
async def sidecars(folder: Path, app: int, form: AccessLogForm) -> AsyncIterator[int]:
    """The port of productpage's outbound side; a sidecar of reviews is behind it."""
    root = MeshRoot()
    theirs, ours = plane_of("reviews", folder, form, app), plane_of("productpage", folder, form)
    ours.install_identity(root.identity("productpage"))
    ours.install_hosts(hosts_config("reviews"))
    ours.install_outbound(outbound_config(service_cluster()))
    context = server_context(root.identity("reviews"))
    async with (
        listening(lambda: theirs.inbound_protocol(9080), context) as inbound,
        listening(ours.outbound_protocol) as outbound,
    ):
        ours.install_service(service_record(inbound))
        yield outbound
        await ours.drain("all", 0)
        await theirs.drain("all", 0)


def lines(folder: Path, service: str) -> list[str]:
    path = folder / f"access-{service}-v1-abcde.log"
    return path.read_text().splitlines() if path.exists() else []


async def test_a_request_is_a_line_on_both_sides(tmp_path: Path) -> None:
    before = datetime.now(UTC)
    async with (
        Backend(answering(OK)) as app,
        sidecars(tmp_path, app.port, "json") as port,
        connected(port) as client,
    ):
        client.send(HEAD + CREDENTIAL + b"\r\n\r\n")
        assert (await client.answer())[0] == 200
        await until(lambda: all(lines(tmp_path, it) for it in ("productpage", "reviews")))
    (ours,) = map(json.loads, lines(tmp_path, "productpage"))
    (theirs,) = map(json.loads, lines(tmp_path, "reviews"))
    for line in (ours, theirs):
        assert (line["method"], line["path"], line["response_code"]) == ("GET", "/x?y=1", 200)
        assert (line["bytes_sent"], line["bytes_received"]) == (5, 0)
        assert (line["authority"], line["user_agent"]) == ("reviews:9080", "a test")
        started = datetime.fromisoformat(line["start_time"])
        assert (before - started).total_seconds() < 0.01 and started <= datetime.now(UTC)
        assert 0 <= line["duration"] < 5_000
    assert ours["request_id"] == theirs["request_id"] != None  # noqa: E711
    assert ours["upstream_cluster"] == "outbound|9080||reviews.default.svc.cluster.local"
    assert ours["upstream_host"] == theirs["downstream_local_address"]
    assert ours["upstream_local_address"] == theirs["downstream_remote_address"]
    assert ours["downstream_local_address"] == f"127.0.0.1:{port}"
    assert ours["route_name"] == "all"
    assert theirs["upstream_cluster"] == f"inbound|{app.port}||"
    assert theirs["upstream_host"] == f"127.0.0.1:{app.port}"


async def test_text_has_a_field_at_each_place_and_no_secret(tmp_path: Path) -> None:
    async with (
        Backend(answering(OK)) as app,
        sidecars(tmp_path, app.port, "text") as port,
        connected(port) as client,
    ):
        client.send(HEAD + CREDENTIAL + b"\r\nAuthorization: Bearer hush\r\n\r\n")
        assert (await client.answer())[0] == 200
        client.send(HEAD + b"\r\n")
        assert (await client.answer())[0] == 407
    answered, refused = lines(tmp_path, "productpage")
    assert shlex.split(answered)[1:4] == ["GET /x?y=1 HTTP/1.1", "200", "-"]
    assert shlex.split(refused)[1:5] == ["GET /x?y=1 HTTP/1.1", "407", "-", "credential_missing"]
    for line in (answered, refused, *lines(tmp_path, "reviews")):
        assert len(shlex.split(line)) == 22
        assert "hush" not in line and "Basic" not in line and PASSWORD.decode() not in line


async def test_off_writes_nothing(tmp_path: Path) -> None:
    async with (
        Backend(answering(OK)) as app,
        sidecars(tmp_path, app.port, "off") as port,
        connected(port) as client,
    ):
        client.send(HEAD + CREDENTIAL + b"\r\n\r\n")
        assert (await client.answer())[0] == 200
    assert not lines(tmp_path, "productpage") and not lines(tmp_path, "reviews")
