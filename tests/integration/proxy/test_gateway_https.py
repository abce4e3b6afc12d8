"""HTTPS at gateways, on real sockets with real TLS clients: names, versions, renewal, failures."""

import asyncio
import os
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.open_doors import Door, door, ends, secure
from tests.support.serving_plane import (
    Backend,
    answering,
    connected,
    gateway_config,
    plane_of,
    spec,
    static_cluster,
)
from tests.support.web_ca import WebCA
from tulle.actors.proxy.plane import Plane
from tulle.policies.config import (
    AuthorizationConfig,
    AuthorizationRule,
    GatewayConfig,
    InboundConfig,
    ServerTls,
    SourceMatch,
)

GET = b"GET /x HTTP/1.1\r\nHost: shop.example\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
CA = WebCA()

pytestmark = pytest.mark.asyncio


def https(port: int, *servers: ServerTls) -> GatewayConfig:
    """Port 443 ends TLS as `servers` say and routes everything to `port`."""
    config = gateway_config(static_cluster(port))
    (listener,) = config.listeners
    listener = replace(listener, port=443, protocol="HTTPS", tls=servers)
    return replace(config, listeners=(listener,))


SHOP = ServerTls(("shop.example",), credential="shop")
ANY = ServerTls(("*.any.example",), credential="any")


@asynccontextmanager
async def gateway(app: int, *servers: ServerTls) -> AsyncIterator[tuple[Plane, Door]]:
    plane = plane_of(replace(spec(), namespace="istio-system"))
    plane.install_credential(CA.credential("shop", "shop.example"))
    plane.install_credential(CA.credential("any", "*.any.example"))
    plane.install_gateway(https(app, *servers))
    async with door(plane, "gateway:443") as opened:
        yield plane, opened


async def shown(port: int, name: str | None, context: ssl.SSLContext | None = None) -> set[str]:
    """The names of the certificate that a client is shown, who then gets an answer."""
    client = context or CA.client()
    if name is None:
        client.check_hostname = False
    async with secure(port, client, name) as connection:
        connection.send(GET)
        assert (await connection.answer())[0] == 200
        certificate: dict[str, Any] = connection.writer.get_extra_info("peercert")
        return {value for _, value in certificate["subjectAltName"]}


def write(path: str, text: str) -> None:
    Path(path).write_text(text)


async def test_the_name_chooses_the_certificate_and_upstreams_learn_the_scheme() -> None:
    heads: list[bytes] = []
    async with Backend(answering(OK, heads)) as app, gateway(app.port, ANY, SHOP) as (_, it):
        assert await shown(it.port, "shop.example") == {"shop.example"}
        assert await shown(it.port, "www.any.example") == {"*.any.example"}
        assert b"x-forwarded-proto: https\r\n" in heads[0]
        for name in ("other.test", None):  # no server for it, and none for clients without a name
            with pytest.raises(OSError, match="UNRECOGNIZED_NAME"):
                await shown(it.port, name)
        async with secure(it.port, CA.client(), "shop.example") as client:
            client.send(GET[:-2] + b"X-Forwarded-Proto: http\r\nX-Forwarded-For: 9.9.9.9\r\n\r\n")
            await client.answer()
        assert b"x-forwarded-for: 9.9.9.9, 127.0.0.1\r\nx-forwarded-proto: https\r\n" in heads[-1]


async def test_without_a_name_a_client_gets_the_server_of_all_hosts() -> None:
    everything = replace(ANY, hosts=("*",))
    async with Backend(answering(OK)) as app, gateway(app.port, SHOP, everything) as (_, it):
        assert await shown(it.port, None) == {"*.any.example"}
        assert await shown(it.port, "shop.example") == {"shop.example"}


async def test_plain_http_is_closed_without_a_byte() -> None:
    async with Backend(answering(OK)) as app, gateway(app.port, SHOP) as (_, it):
        async with connected(it.port) as client:
            client.send(GET)
            assert await ends(client)


async def test_a_missing_credential_fails_its_own_names_alone_and_says_what_to_do() -> None:
    lost = ServerTls(("lost.example",), credential="lost")
    async with Backend(answering(OK)) as app, gateway(app.port, lost, SHOP) as (plane, it):
        assert await shown(it.port, "shop.example") == {"shop.example"}
        with pytest.raises(OSError):
            await shown(it.port, "lost.example")
        (problem,) = plane.problems
        assert "lost.example" in problem
        assert "`tulle credential add lost --cert FILE --key FILE`" in problem
        plane.install_credential(CA.credential("lost", "lost.example"))
        assert plane.problems == ()
        assert await shown(it.port, "lost.example") == {"lost.example"}
        plane.remove_credential("lost")
        with pytest.raises(OSError):
            await shown(it.port, "lost.example")


async def test_a_broken_credential_is_a_problem_without_its_key_and_the_last_good_stays() -> None:
    async with Backend(answering(OK)) as app, gateway(app.port, SHOP) as (plane, it):
        good, other = CA.credential("shop", "shop.example"), CA.credential("shop", "shop.example")
        plane.install_credential(good.model_copy(update={"private_key": other.private_key}))
        (problem,) = plane.problems
        assert "credential shop" in problem and "KEY_VALUES_MISMATCH" in problem
        assert other.private_key[40:80] not in problem
        assert await shown(it.port, "shop.example") == {"shop.example"}


async def test_a_new_credential_is_for_new_connections_and_old_ones_go_on() -> None:
    async with Backend(answering(OK)) as app, gateway(app.port, SHOP) as (plane, it):
        async with secure(it.port, CA.client(), "shop.example") as old:
            plane.install_credential(CA.credential("shop", "shop.example", "new.example"))
            assert await shown(it.port, "shop.example") == {"shop.example", "new.example"}
            old.send(GET)
            assert (await old.answer())[0] == 200


async def test_changed_files_are_used_and_half_written_ones_are_not(tmp_path: Path) -> None:
    certificate, key, _ = CA.files(tmp_path, "shop.example")
    server = ServerTls(("shop.example",), certificate=certificate, private_key=key)
    async with Backend(answering(OK)) as app, gateway(app.port, server) as (plane, it):
        assert await shown(it.port, "shop.example") == {"shop.example"}
        chain, new_key = CA.issue("shop.example", "new.example")
        write(certificate, chain)
        plane.refresh_files()
        assert len(plane.problems) == 1
        assert await shown(it.port, "shop.example") == {"shop.example"}
        write(key, new_key)
        plane.refresh_files()
        assert not plane.problems
        assert await shown(it.port, "shop.example") == {"shop.example", "new.example"}
        os.unlink(key)
        plane.refresh_files()
        assert f"{key} can't be read: No such file" in plane.problems[0]


async def test_mutual_asks_for_a_certificate_of_the_ca_and_its_neighbour_does_not(
    tmp_path: Path,
) -> None:
    mutual = replace(SHOP, mode="MUTUAL")
    foreign = WebCA()
    async with Backend(answering(OK)) as app, gateway(app.port, mutual, ANY) as (_, it):
        assert await shown(it.port, "www.any.example") == {"*.any.example"}
        with_one = CA.client(tmp_path, "client.example")
        assert await shown(it.port, "shop.example", with_one) == {"shop.example"}
        forged = CA.client()
        forged.load_cert_chain(*foreign.files(tmp_path, "client.example")[:2])
        for context in (CA.client(), forged):
            with pytest.raises((OSError, asyncio.IncompleteReadError)):
                await shown(it.port, "shop.example", context)


@pytest.mark.parametrize(
    ("least", "most", "offered", "works"),
    [
        ("", "", ssl.TLSVersion.TLSv1_2, True),
        ("", "", ssl.TLSVersion.TLSv1_3, True),
        ("TLSV1_3", "", ssl.TLSVersion.TLSv1_2, False),
        ("TLSV1_3", "", ssl.TLSVersion.TLSv1_3, True),
        ("", "TLSV1_2", ssl.TLSVersion.TLSv1_3, False),
    ],
)
async def test_versions(least: Any, most: Any, offered: ssl.TLSVersion, works: bool) -> None:
    server = replace(SHOP, min_version=least, max_version=most)
    client = CA.client()
    client.minimum_version = client.maximum_version = offered
    async with Backend(answering(OK)) as app, gateway(app.port, ANY, server) as (_, it):
        if works:
            assert await shown(it.port, "shop.example", client) == {"shop.example"}
        else:
            with pytest.raises(OSError):
                await shown(it.port, "shop.example", client)


async def test_a_port_that_becomes_https_ends_its_plain_connections_with_an_answer() -> None:
    async with Backend(answering(OK)) as app, gateway(app.port, SHOP) as (plane, it):
        plain = https(app.port)
        listener = replace(plain.listeners[0], protocol="HTTP")
        plane.install_gateway(replace(plain, listeners=(listener,)))
        async with connected(it.port) as client:
            client.send(GET)
            assert b"close" not in (await client.answer())[1]
            plane.install_gateway(https(app.port, SHOP))
            client.send(GET)
            assert b"connection: close" in (await client.answer())[1]
            assert await ends(client)
        assert await shown(it.port, "shop.example") == {"shop.example"}


async def test_a_policy_that_selects_the_gateway_sees_the_clients_address() -> None:
    def deny(block: str) -> InboundConfig:
        rule = AuthorizationRule("rules[0]", (SourceMatch(ip_blocks=(block,)),))
        source = "AuthorizationPolicy/istio-system/blocked"
        policy = AuthorizationConfig(source, (), "DENY", (rule,))
        return InboundConfig("istio-system", (), (policy,))

    async with Backend(answering(OK)) as app, gateway(app.port, SHOP) as (plane, it):
        async with secure(it.port, CA.client(), "shop.example") as client:
            for block, expected in (("10.0.0.0/8", 200), ("127.0.0.0/8", 403), ("10.0.0.1", 200)):
                plane.install_inbound(deny(block))
                client.send(GET)
                assert (await client.answer())[0] == expected
        plane.install_inbound(deny("127.0.0.1"))
        async with secure(it.port, CA.client(), "shop.example") as client:
            client.send(GET)
            status, head, body = await client.answer()
            assert status == 403 and b"rbac_denied" in head and b"istio-system/blocked" in body


async def test_curl_gets_an_answer_and_speaks_http_1_1(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text(CA.ca_pem)
    async with Backend(answering(OK)) as app, gateway(app.port, SHOP) as (_, it):
        process = await asyncio.create_subprocess_exec(
            *(
                "curl",
                "-sS",
                "--http2",
                "--cacert",
                str(tmp_path / "ca.pem"),
                "-w",
                " %{http_version}",
            ),
            *("--resolve", f"shop.example:{it.port}:127.0.0.1", f"https://shop.example:{it.port}/"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await asyncio.wait_for(process.communicate(), 10)
        assert (out, err) == (b"hello 1.1", b"")


async def test_held_back_hellos_are_bounded_by_time_and_number() -> None:
    async with Backend(answering(OK)) as app, gateway(app.port, SHOP) as (_, it):
        hello = b"\x16\x03\x01\x02\x00\x01"
        held = [socket.create_connection(("127.0.0.1", it.port)) for _ in range(20)]
        with suppress(OSError):
            for end in held:
                end.sendall(hello)
        assert await shown(it.port, "shop.example") == {"shop.example"}
        assert it.listener.undecided == len(held)
        for end in held:
            end.close()
