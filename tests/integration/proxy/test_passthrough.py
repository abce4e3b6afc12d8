"""Hosts outside the mesh: forwarded to their address, unless it is one to keep away from."""

import asyncio
import gc
from collections.abc import Sequence

import pytest

from tests.support.serving_plane import (
    CREDENTIAL,
    Backend,
    answering,
    connected,
    hosts_config,
    listening,
    service_record,
    spec,
)
from tulle.actors.proxy import passthrough
from tulle.actors.proxy.plane import Plane

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"

pytestmark = pytest.mark.asyncio


def get(url: str) -> bytes:
    return b"GET %b HTTP/1.1\r\nHost: x\r\n%b\r\n\r\n" % (url.encode(), CREDENTIAL)


def plane_that_resolves(names: dict[str, Sequence[str]], asked: list[str] | None = None) -> Plane:
    async def resolve(host: str) -> Sequence[str]:
        if asked is not None:
            asked.append(host)
        await asyncio.sleep(0.01)
        if ".." in host:
            host.encode("idna")  # as getaddrinfo does with what is no name
        if host not in names:
            raise OSError(f"no such host {host}")
        return names[host]

    plane = Plane(
        spec("sidecar"),
        loop=asyncio.get_running_loop(),
        want_host=lambda host: None,
        resolve=resolve,
    )
    plane.install_hosts(hosts_config("reviews"))
    return plane


@pytest.mark.parametrize(
    ("url", "status", "reason"),
    [
        ("http://loop/", 403, b"passthrough_forbidden"),
        ("http://mixed/", 403, b"passthrough_forbidden"),
        ("http://link/", 403, b"passthrough_forbidden"),
        ("http://six/", 403, b"passthrough_forbidden"),
        ("http://mapped/", 403, b"passthrough_forbidden"),
        ("http://nobody/", 403, b"passthrough_forbidden"),
        ("http://many/", 403, b"passthrough_forbidden"),
        ("http://listener:9099/", 403, b"passthrough_forbidden"),
        ("http://unknown.example/", 502, b"unknown_address"),
        ("http://empty/", 502, b"unknown_address"),
    ],
)
async def test_where_it_does_not_go(url: str, status: int, reason: bytes) -> None:
    plane = plane_that_resolves(
        {
            "loop": ["127.0.0.1"],
            "mixed": ["192.0.2.1", "127.0.0.2"],
            "link": ["169.254.169.254"],
            "six": ["::1"],
            "mapped": ["::ffff:127.0.0.1"],
            "nobody": ["0.0.0.0"],
            "many": ["224.0.0.1"],
            "listener": ["192.0.2.7"],
            "empty": [],
        }
    )
    record = service_record(9099)
    workload = record.workloads[0].model_copy(update={"address": "192.0.2.7"})
    plane.install_service(record.model_copy(update={"workloads": [workload]}))
    async with listening(plane.outbound_protocol) as proxy, connected(proxy) as client:
        client.send(get(url))
        got, head, _ = await client.answer()
        assert got == status
        assert b"x-tulle-reason: " + reason in head
        await plane.drain("all", 0)


async def test_what_is_no_name_at_all_is_no_error_of_ours() -> None:
    told: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    plane = plane_that_resolves({})
    async with listening(plane.outbound_protocol) as proxy, connected(proxy) as client:
        client.send(get("http://no..name/"))
        got, head, _ = await client.answer()
        assert got == 502
        assert b"x-tulle-reason: unknown_address" in head
        await plane.drain("all", 0)
    gc.collect()  # a task that ended with an error that nobody took says so at its end
    assert told == []


async def test_it_goes_where_the_name_points(monkeypatch: pytest.MonkeyPatch) -> None:
    # Loopback stands for the world outside.
    monkeypatch.setattr(passthrough, "is_forbidden", lambda address: False)
    asked, heads = list[str](), list[bytes]()
    async with Backend(answering(OK, heads)) as server:
        plane = plane_that_resolves({"example.com": ["127.0.0.1"]}, asked)
        async with (
            listening(plane.outbound_protocol) as proxy,
            connected(proxy) as one,
            connected(proxy) as two,
        ):
            for _ in range(2):
                for client in (one, two):
                    client.send(get(f"http://example.com:{server.port}/a?b"))
                for client in (one, two):
                    assert (await client.answer())[0] == 200
            assert asked == ["example.com"]
            assert server.connections == 2
            assert heads[0].startswith(b"GET /a?b HTTP/1.1\r\nhost: example.com:%d" % server.port)
            assert b"roxy-" not in heads[0]
            assert b"x-tulle" not in heads[0]
            await plane.drain("all", 0)


async def test_addresses_are_resolved_by_the_system() -> None:
    assert "127.0.0.1" in await passthrough.resolve("localhost")
    assert list(await passthrough.resolve("192.0.2.1")) == ["192.0.2.1"]
