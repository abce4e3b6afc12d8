"""Inbound doors under PeerAuthentication and AuthorizationPolicy, with real TLS."""

import asyncio
import hashlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from tests.support.awaiting import until
from tests.support.certificates import MeshRoot, spiffe
from tests.support.open_doors import Door, door, ends, peer
from tests.support.serving_plane import Backend, answering, connected, read_head, spec
from tulle.actors.proxy.plane import Plane
from tulle.actors.proxy.spec import PortSpec
from tulle.policies.config import (
    AuthorizationConfig,
    AuthorizationRule,
    InboundConfig,
    OperationMatch,
    PeerAuthenticationConfig,
    SourceMatch,
)
from tulle.policies.decide.peers import Mode

GET = b"GET /x HTTP/1.1\r\nHost: reviews\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
ROOT = MeshRoot()
REVIEWS, PAGE, RATINGS = map(ROOT.identity, ("reviews", "productpage", "ratings"))

pytestmark = pytest.mark.asyncio


def asks(mode: Mode, *policies: AuthorizationConfig) -> InboundConfig:
    peers = (PeerAuthenticationConfig("PeerAuthentication/default/all", mode=mode),)
    return InboundConfig("default", peers, policies)


def allow(account: str, *operations: OperationMatch) -> AuthorizationConfig:
    source = SourceMatch(principals=(spiffe(account).removeprefix("spiffe://"),))
    rule = AuthorizationRule("rules[0]", (source,), operations)
    return AuthorizationConfig("AuthorizationPolicy/default/viewers", (), "ALLOW", (rule,))


@asynccontextmanager
async def reviews(app: int, *configs: InboundConfig) -> AsyncIterator[tuple[Plane, Door]]:
    plane = Plane(
        spec("sidecar", app, "reviews"),
        loop=asyncio.get_running_loop(),
        want_host=lambda host: None,
    )
    for config in configs:
        plane.install_inbound(config)
    async with door(plane, "inbound:9080", REVIEWS) as opened:
        yield plane, opened


@pytest.mark.parametrize("configs", [(), (asks("STRICT"),)], ids=["no config yet", "STRICT"])
async def test_strict_closes_a_plain_client_without_a_byte(
    configs: tuple[InboundConfig, ...],
) -> None:
    heads: list[bytes] = []
    async with (
        Backend(answering(OK, heads)) as app,
        reviews(app.port, *configs) as (_, it),
        connected(it.port) as plain,
        peer(it.port, PAGE) as client,
    ):
        plain.send(GET)
        assert await ends(plain)
        client.send(GET)
        assert (await client.answer())[0] == 200
        assert len(heads) == 1


async def test_permissive_lets_both_in_and_a_plain_client_is_nobody() -> None:
    heads: list[bytes] = []
    async with (
        Backend(answering(OK, heads)) as app,
        reviews(app.port, asks("PERMISSIVE")) as (plane, it),
        connected(it.port) as plain,
        peer(it.port, PAGE) as client,
    ):
        claims = b"x-tulle-peer: productpage-v1-abcde\r\nx-forwarded-client-cert: URI=me\r\n\r\n"
        plain.send(GET[:-2] + claims)
        assert (await plain.answer())[0] == 200
        assert b"tulle" not in heads[0] and b"forwarded" not in heads[0]
        client.send(GET[:-2] + claims)
        assert (await client.answer())[0] == 200
        series = [s for s in plane.stats.snapshot(True) if s.name == "istio_requests_total"]
        of = {it.labels["connection_security_policy"]: it.labels for it in series}
        assert of["none"]["source_principal"] == of["none"]["source_workload"] == "unknown"
        assert of["mutual_tls"]["source_principal"] == spiffe("productpage")
        assert of["mutual_tls"]["source_workload"] == "productpage-v1"


async def test_the_app_gets_the_path_that_was_judged() -> None:
    heads: list[bytes] = []
    public = allow("productpage", OperationMatch(paths=("/public/*",)))
    async with (
        Backend(answering(OK, heads)) as app,
        reviews(app.port, asks("STRICT", public)) as (plane, it),
        peer(it.port, PAGE) as client,
    ):
        for path, status, sent in (
            (b"/public/../admin", 403, b""),
            (b"/public/%%32%65%%32%65/admin", 200, b"/public/%252e%252e/admin"),
            (b"/a\\..\\%70ublic/x?y=%70/../z", 200, b"/public/x?y=%70/../z"),
        ):
            client.send(GET.replace(b"/x", path))
            assert (await client.answer())[0] == status
            if sent:
                assert heads[-1].startswith(b"GET %b HTTP/1.1\r\n" % sent)
        plane.install_inbound(asks("STRICT"))
        client.send(GET.replace(b"/x", b"/a/../%62"))
        assert (await client.answer())[0] == 200
        assert heads[-1].startswith(b"GET /a/../%62 ")


async def test_disable_takes_plain_clients_and_closes_a_tls_hello() -> None:
    async with (
        Backend(answering(OK)) as app,
        reviews(app.port, asks("DISABLE")) as (_, it),
        connected(it.port) as plain,
    ):
        plain.send(GET)
        assert (await plain.answer())[0] == 200
        with pytest.raises(OSError):
            async with peer(it.port, PAGE):
                pass


async def test_a_workload_and_its_port_may_have_modes_of_their_own() -> None:
    selector = (("app", "reviews"),)
    peers = PeerAuthenticationConfig(
        "PeerAuthentication/default/reviews", selector, "PERMISSIVE", ((9081, "DISABLE"),)
    )
    ports = (PortSpec(9080, 1), PortSpec(9081, 2))
    for labels, modes in ((selector, ("PERMISSIVE", "DISABLE")), ((), ("STRICT", "STRICT"))):
        plane = Plane(
            replace(spec("sidecar", 1, "reviews"), ports=ports, labels=labels),
            loop=asyncio.get_running_loop(),
            want_host=lambda host: None,
        )
        plane.install_inbound(InboundConfig("default", (peers,)))
        assert (plane.inbound_mode(9080), plane.inbound_mode(9081)) == modes


async def test_plain_connections_end_when_strict_comes_and_mutual_ones_stay() -> None:
    go = asyncio.Event()

    async def slowly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            if b"/slow" in await read_head(reader):
                await go.wait()
            writer.write(OK)

    async with (
        Backend(slowly) as app,
        reviews(app.port, asks("PERMISSIVE")) as (plane, it),
        connected(it.port) as idle,
        connected(it.port) as busy,
        peer(it.port, PAGE) as mutual,
    ):
        for client in (idle, busy, mutual):
            client.send(GET)
            await client.answer()
        busy.send(GET.replace(b"/x", b"/slow"))
        await until(lambda: any(not client.idle for client in plane._inbound[9080].connections))
        plane.install_inbound(asks("STRICT"))
        assert await ends(idle)
        go.set()
        status, head, _ = await busy.answer()
        assert status == 200 and b"connection: close" in head
        assert await ends(busy)
        mutual.send(GET)
        status, head, _ = await mutual.answer()
        assert status == 200 and b"close" not in head


async def test_a_plain_request_behind_one_under_way_is_not_answered_under_strict() -> None:
    heads: list[bytes] = []
    begun, go = asyncio.Event(), asyncio.Event()

    async def slowly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            heads.append(await read_head(reader))
            writer.write(OK[:-1])  # the answer has begun: it can't say any more that it is the last
            begun.set()
            await go.wait()
            writer.write(OK[-1:])

    async with (
        Backend(slowly) as app,
        reviews(app.port, asks("PERMISSIVE")) as (plane, it),
        connected(it.port) as client,
    ):
        client.send(GET)
        await client.head()
        plane.install_inbound(asks("STRICT"))
        client.send(GET.replace(b"/x", b"/y"))
        go.set()
        assert await client.exactly(5) == b"hello"
        assert await ends(client)
        assert len(heads) == 1


async def test_an_identity_that_no_policy_allows_gets_403_and_the_reason() -> None:
    heads: list[bytes] = []
    async with (
        Backend(answering(OK, heads)) as app,
        reviews(app.port, asks("PERMISSIVE", allow("productpage"))) as (plane, it),
        peer(it.port, PAGE) as page,
        peer(it.port, RATINGS) as ratings,
        connected(it.port) as plain,
    ):
        page.send(GET)
        assert (await page.answer())[0] == 200
        for client, who in ((ratings, spiffe("ratings")), (plain, "without mTLS (127.0.0.1)")):
            client.send(GET)
            status, head, body = await client.answer()
            assert status == 403
            assert b"x-tulle-reason: rbac_denied" in head
            assert body.startswith(b"RBAC: access denied")
            assert b"AuthorizationPolicy/default/viewers" in body and who.encode() in body
        assert len(heads) == 1
        denied = {
            (it.labels["source_principal"], it.labels["response_flags"])
            for it in plane.stats.snapshot(True)
            if it.labels["response_code"] == "403"
        }
        assert denied == {(spiffe("ratings"), "UAEX"), ("unknown", "UAEX")}


async def test_connections_are_decided_anew_when_policies_change() -> None:
    async with (
        Backend(answering(OK)) as app,
        reviews(app.port, asks("STRICT")) as (plane, it),
        peer(it.port, RATINGS) as client,
    ):
        for policies, expected in (
            ((), 200),
            ((allow("productpage"),), 403),
            ((allow("productpage"), allow("ratings", OperationMatch(paths=("/x",)))), 200),
            ((allow("ratings", OperationMatch(methods=("POST",))),), 403),
            ((), 200),
        ):
            plane.install_inbound(asks("STRICT", *policies))
            client.send(GET)
            assert (await client.answer())[0] == expected


async def test_policies_of_the_root_namespace_count_too() -> None:
    deny = AuthorizationConfig(
        "AuthorizationPolicy/istio-system/nobody", (), "DENY", (AuthorizationRule("rules[0]"),)
    )
    async with (
        Backend(answering(OK)) as app,
        reviews(app.port, InboundConfig("istio-system", (), (deny,))) as (plane, it),
        peer(it.port, PAGE) as client,
    ):
        client.send(GET)
        status, _, body = await client.answer()
        assert status == 403 and b"istio-system/nobody" in body
        plane.install_inbound(InboundConfig("istio-system"))
        client.send(GET)
        assert (await client.answer())[0] == 200


async def test_the_app_is_told_who_called_and_by_which_certificate() -> None:
    heads: list[bytes] = []
    async with (
        Backend(answering(OK, heads)) as app,
        reviews(app.port) as (_, it),
        peer(it.port, PAGE) as client,
    ):
        client.send(GET[:-2] + b"X-Forwarded-Client-Cert: URI=spiffe://me\r\n\r\n")
        await client.answer()
        leaf = ssl.PEM_cert_to_DER_cert(PAGE.chain_pem.decode().split("-----END")[0] + (
            "-----END CERTIFICATE-----"))  # fmt: skip
        digest = hashlib.sha256(leaf).hexdigest()
        lines = [it for it in heads[0].split(b"\r\n") if it.lower().startswith(b"x-forwarded")]
        assert [line.decode() for line in lines] == [
            f"x-forwarded-client-cert: By={spiffe('reviews')};Hash={digest};"
            f'Subject="";URI={spiffe("productpage")}'
        ]


async def test_renewal_ends_connections_with_their_answer_and_idle_ones_at_the_next() -> None:
    async with (
        Backend(answering(OK)) as app,
        reviews(app.port) as (plane, it),
        peer(it.port, PAGE) as used,
        peer(it.port, PAGE) as idle,
    ):
        for client in (used, idle):
            client.send(GET)
            assert b"close" not in (await client.answer())[1]
        it.renew(ROOT.identity("reviews"))
        used.send(GET)
        status, head, _ = await used.answer()
        assert status == 200 and b"connection: close" in head
        assert await ends(used)
        await until(lambda: len(plane._inbound[9080].connections) == 1)
        it.renew(ROOT.identity("reviews"))
        assert await ends(idle)
