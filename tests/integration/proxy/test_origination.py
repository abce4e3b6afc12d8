"""TLS that a proxy originates, and endpoints that are names, against real TLS servers."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from tests.support.awaiting import until
from tests.support.serving_plane import (
    CREDENTIAL,
    Backend,
    answering,
    connected,
    gateway_config,
    hosts_config,
    listening,
    outbound_config,
    service_cluster,
    service_record,
    spec,
    static_cluster,
)
from tests.support.web_ca import WebCA
from tulle.actors.proxy import names
from tulle.actors.proxy.passthrough import Resolve, resolve
from tulle.actors.proxy.plane import Plane
from tulle.policies.config import Cluster, PeerMode, StaticEndpoint, UpstreamTls

GET = b"GET /x HTTP/1.1\r\nHost: shop.example\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
HOST = "shop.example"
CA = WebCA()

pytestmark = pytest.mark.asyncio


def over_tls(port: int, tls: UpstreamTls) -> Cluster:
    return replace(static_cluster(port, host=HOST), tls=tls.mode, upstream_tls=tls)


@asynccontextmanager
async def gateway(cluster: Cluster, by: Resolve = resolve) -> AsyncIterator[tuple[Plane, int]]:
    plane = Plane(spec(), loop=asyncio.get_running_loop(), want_host=lambda host: None, resolve=by)
    plane.install_gateway(gateway_config(cluster))
    async with listening(lambda: plane.gateway_protocol(80)) as port:
        yield plane, port
        await plane.drain("all", 0)


async def ask(port: int) -> tuple[int, bytes, bytes]:
    async with connected(port) as client:
        client.send(GET)
        return await client.answer()


async def answer_of(cluster: Cluster) -> tuple[int, bytes, bytes]:
    async with gateway(cluster) as (_, port):
        return await ask(port)


def refused(answer: tuple[int, bytes, bytes]) -> str:
    """The body of a refusal of the upstream's TLS."""
    status, head, body = answer
    assert status == 503 and b"x-tulle-reason: upstream_tls_failed" in head
    return body.decode()


@pytest.fixture
def ca(tmp_path: Path) -> str:
    (tmp_path / "trusted.pem").write_text(CA.ca_pem)
    return str(tmp_path / "trusted.pem")


async def test_simple_verifies_the_chain_and_the_host(tmp_path: Path, ca: str) -> None:
    asked: list[str | None] = []
    context = CA.server(tmp_path, HOST)
    context.sni_callback = lambda _, name, __: asked.append(name)
    async with Backend(answering(OK), context=context) as app:
        tls = UpstreamTls("SIMPLE", ca_certificates=ca)
        assert (await answer_of(over_tls(app.port, tls)))[0] == 200
        assert asked == [HOST]
        other = refused(await answer_of(over_tls(app.port, replace(tls, sni="other.example"))))
        assert "TLS to other.example failed" in other and "Hostname mismatch" in other
        unknown = refused(await answer_of(over_tls(app.port, UpstreamTls("SIMPLE"))))
        assert "unable to get local issuer certificate" in unknown
        unsafe = UpstreamTls("SIMPLE", sni="other.example", insecure_skip_verify=True)
        assert (await answer_of(over_tls(app.port, unsafe)))[0] == 200


async def test_names_of_the_certificate_count_instead_of_the_host_when_written(
    tmp_path: Path, ca: str
) -> None:
    context = CA.server(tmp_path, "one.internal", "spiffe://elsewhere/two")
    async with Backend(answering(OK), context=context) as app:
        for wanted, works in (
            (("one.internal",), True),
            (("nobody", "spiffe://elsewhere/two"), True),
            ((HOST,), False),
        ):
            tls = UpstreamTls("SIMPLE", ca_certificates=ca, subject_alt_names=wanted)
            answer = await answer_of(over_tls(app.port, tls))
            if works:
                assert answer[0] == 200
            else:
                why = f"is for one.internal, spiffe://elsewhere/two, not for {HOST}"
                assert why in refused(answer)


async def test_an_expired_certificate_is_refused(tmp_path: Path, ca: str) -> None:
    chain, key = CA.issue(HOST, lifetime=timedelta(minutes=-1))
    (tmp_path / "old.pem").write_text(chain + key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "old.pem")
    async with Backend(answering(OK), context=context) as app:
        tls = UpstreamTls("SIMPLE", ca_certificates=ca)
        assert "certificate has expired" in refused(await answer_of(over_tls(app.port, tls)))


async def test_mutual_shows_its_certificate_and_a_changed_one_at_once(
    tmp_path: Path, ca: str
) -> None:
    shown: list[object] = []
    context = CA.server(tmp_path, HOST)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=CA.ca_pem)

    async def noting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        shown.append(writer.get_extra_info("peercert")["subjectAltName"][0][1])
        await answering(OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))(reader, writer)

    mine = tmp_path / "mine"
    mine.mkdir()
    certificate, key, _ = CA.files(mine, "first")
    tls = UpstreamTls("MUTUAL", "", (), ca, certificate, key)
    async with (
        Backend(noting, context=context) as app,
        gateway(over_tls(app.port, tls)) as (_, port),
    ):
        assert (await ask(port))[0] == 200
        CA.files(mine, "second")
        assert (await ask(port))[0] == 200
        assert shown == ["first", "second"]
        (mine / "key.pem").unlink()
        assert "this proxy's certificate or CA can't be used" in refused(await ask(port))


async def test_a_gateway_uses_a_credential_and_says_when_it_lacks_it(tmp_path: Path) -> None:
    context = CA.server(tmp_path, HOST)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=CA.ca_pem)
    tls = UpstreamTls("MUTUAL", credential="client")
    async with (
        Backend(answering(OK), context=context) as app,
        gateway(over_tls(app.port, tls)) as (plane, port),
    ):
        refused(await ask(port))
        plane.install_credential(CA.credential("client", "gateway"))
        assert (await ask(port))[0] == 200


async def test_a_server_without_tls_is_a_failure_of_tls(ca: str) -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await reader.read()

    async with Backend(plain) as app:
        tls = UpstreamTls("SIMPLE", ca_certificates=ca)
        assert "wrong version number" in refused(await answer_of(over_tls(app.port, tls)))


async def test_an_https_port_without_a_destination_rule_says_which_is_missing() -> None:
    cluster = replace(static_cluster(1, host=HOST), port=443, protocol="https")
    status, head, body = await answer_of(cluster)
    assert status == 503 and b"x-tulle-reason: upstream_needs_tls" in head
    assert b"a DestinationRule for shop.example with trafficPolicy.tls.mode SIMPLE" in body


async def test_a_workload_that_asks_for_plain_gets_no_word_about_the_mesh() -> None:
    heads: list[bytes] = []
    plane = Plane(
        spec("sidecar", 0, "productpage"),
        loop=asyncio.get_running_loop(),
        want_host=lambda host: None,
    )
    async with Backend(answering(OK, heads)) as app, listening(plane.outbound_protocol) as port:
        plane.install_hosts(hosts_config("reviews"))
        plane.install_service(service_record(app.port))
        disabled = (PeerMode((), 0, "DISABLE"),)
        plane.install_outbound(outbound_config(replace(service_cluster(), peer_modes=disabled)))
        async with connected(port) as client:
            head = b"GET http://reviews:9080/ HTTP/1.1\r\nHost: x\r\n"
            client.send(head + CREDENTIAL + b"\r\n\r\n")
            assert (await client.answer())[0] == 200
        assert b"tulle" not in heads[0]
        await plane.drain("all", 0)


class Names:
    """A name service that is told its answers, and counts questions."""

    def __init__(self, *addresses: str) -> None:
        self.addresses: Sequence[str] = addresses
        self.asked = 0
        self.answers = asyncio.Event()
        self.answers.set()

    async def __call__(self, host: str) -> Sequence[str]:
        self.asked += 1
        await self.answers.wait()
        if not self.addresses:
            raise OSError("no such name")
        return self.addresses


def named(port: int) -> Cluster:
    endpoint = StaticEndpoint("up.test", port)
    return replace(static_cluster(host="up.test"), endpoints=(endpoint,), dns=True)


async def test_requests_wait_for_the_first_answer_and_share_the_question() -> None:
    known = Names("127.0.0.1")
    known.answers.clear()
    async with Backend(answering(OK)) as app, gateway(named(app.port), known) as (_, port):
        asking = [asyncio.create_task(ask(port)) for _ in range(5)]
        await until(lambda: known.asked == 1)
        known.answers.set()
        assert {status for status, _, _ in await asyncio.gather(*asking)} == {200}
        assert known.asked == 1


async def test_a_name_without_an_address_is_no_endpoint() -> None:
    async with gateway(named(1), Names()) as (_, port):
        status, head, body = await ask(port)
        assert status == 503 and b"x-tulle-reason: no_endpoints" in head
        assert b"up.test has no address" in body


async def test_an_address_that_does_not_answer_is_passed_over() -> None:
    known = Names("127.0.0.1", "127.0.0.77")
    async with Backend(answering(OK)) as app, gateway(named(app.port), known) as (_, port):
        for _ in range(4):
            assert (await ask(port))[0] == 200


async def test_a_listener_of_the_mesh_is_never_connected_to() -> None:
    async with (
        Backend(answering(OK)) as app,
        gateway(named(app.port), Names("127.0.0.1")) as (plane, port),
    ):
        plane.install_service(service_record(app.port))
        status, _, body = await ask(port)
        assert status == 503 and b"the mesh's own listeners" in body
        assert app.connections == 0


async def test_names_are_looked_up_again_while_used_and_the_last_good_answer_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(names, "REFRESH_SECONDS", 0.05)
    known = Names("127.0.0.1")
    async with (
        Backend(answering(OK)) as app,
        gateway(named(app.port), known) as (plane, port),
        connected(port) as client,
    ):
        client.send(GET)
        assert (await client.answer())[0] == 200
        await until(lambda: known.asked >= 3)  # its connection is kept: the name is in use
        known.addresses = ()
        asked = known.asked
        await until(lambda: known.asked >= asked + 2)
        client.send(GET)
        assert (await client.answer())[0] == 200
        assert app.connections == 1
        (endpoint,) = plane._book._endpoints.values()
        assert len(endpoint.idle) == 1
        known.addresses = ("127.0.0.2",)
        await until(lambda: not endpoint.idle)
        client.send(GET)
        assert b"connect_failed" in (await client.answer())[1]  # it has moved: nobody is there
