"""Two sidecars' planes, mTLS between them: explicit proxying, identities, registry, metrics."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from tests.support.awaiting import until
from tests.support.certificates import MeshRoot, spiffe
from tests.support.serving_plane import (
    CREDENTIAL,
    Backend,
    answering,
    connected,
    hosts_config,
    listening,
    outbound_config,
    read_head,
    service_cluster,
    service_record,
    spec,
)
from tulle.actors.proxy.plane import Plane
from tulle.actors.proxy.tls import server_context
from tulle.policies.config import HttpMatch, PortRoutes, Route, Target

GET = b"GET http://reviews:9080/x HTTP/1.1\r\nHost: ignored\r\n" + CREDENTIAL + b"\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"

pytestmark = pytest.mark.asyncio


def sidecar(service: str, app: int = 0, wanted: list[str] | None = None) -> Plane:
    return Plane(
        spec("sidecar", app, service),
        loop=asyncio.get_running_loop(),
        want_host=([] if wanted is None else wanted).append,
    )


@asynccontextmanager
async def inbound(
    root: MeshRoot, app: int, account: str = "reviews"
) -> AsyncIterator[tuple[Plane, int]]:
    """The inbound side of a workload of reviews, over mTLS as `account`."""
    plane = sidecar("reviews", app)
    context = server_context(root.identity(account))
    async with listening(lambda: plane.inbound_protocol(9080), context) as port:
        yield plane, port
        await plane.drain("all", 0)


@asynccontextmanager
async def outbound(root: MeshRoot, *ports: int) -> AsyncIterator[tuple[Plane, int]]:
    """The outbound side of productpage, which knows reviews with workloads at `ports`."""
    plane = sidecar("productpage")
    plane.install_identity(root.identity("productpage"))
    plane.install_hosts(hosts_config("reviews"))
    plane.install_service(service_record(*ports))
    plane.install_outbound(outbound_config(service_cluster()))
    async with listening(plane.outbound_protocol) as port:
        yield plane, port
        await plane.drain("all", 0)


async def test_from_app_to_app() -> None:
    root, heads = MeshRoot(), list[bytes]()
    async with (
        Backend(answering(OK, heads)) as app,
        inbound(root, app.port) as (theirs, port),
        outbound(root, port) as (ours, proxy),
        connected(proxy) as client,
    ):
        for _ in range(2):
            client.send(GET)
            assert (await client.answer())[::2] == (200, b"hello")
        lines = heads[0].split(b"\r\n")
        assert lines[:2] == [b"GET /x HTTP/1.1", b"host: reviews:9080"]
        assert b"tulle" not in heads[0]
        assert b"roxy-" not in heads[0]
        (source,) = [s for s in ours.stats.snapshot(True) if s.name == "istio_requests_total"]
        (dest,) = [s for s in theirs.stats.snapshot(True) if s.name == "istio_requests_total"]
        assert source.value == dest.value == 2
        same = {
            "source_workload": "productpage-v1",
            "source_workload_namespace": "default",
            "source_principal": spiffe("productpage"),
            "source_app": "productpage",
            "source_version": "v1",
            "source_canonical_service": "productpage",
            "source_canonical_revision": "v1",
            "source_cluster": "test",
            "destination_workload": "reviews-v1",
            "destination_workload_namespace": "default",
            "destination_principal": spiffe("reviews"),
            "destination_app": "reviews",
            "destination_version": "v1",
            "destination_canonical_service": "reviews",
            "destination_canonical_revision": "v1",
            "destination_cluster": "test",
            "destination_service": "reviews.default.svc.cluster.local",
            "destination_service_name": "reviews",
            "destination_service_namespace": "default",
            "request_protocol": "http",
            "response_code": "200",
            "response_flags": "-",
            "grpc_response_status": "",
        }
        assert source.labels == same | {
            "reporter": "source",
            "connection_security_policy": "unknown",
        }
        assert dest.labels == same | {
            "reporter": "destination",
            "connection_security_policy": "mutual_tls",
        }
        assert not ours.stats.snapshot(True)


@pytest.mark.parametrize(
    "host", ["reviews", "reviews.default", "reviews.default.svc.cluster.local"]
)
@pytest.mark.parametrize("port", ["", ":9080", ":80"])
async def test_names_and_ports_of_a_service(host: str, port: str) -> None:
    root = MeshRoot()
    async with (
        Backend(answering(OK)) as app,
        inbound(root, app.port) as (_, theirs),
        outbound(root, theirs) as (_, proxy),
        connected(proxy) as client,
    ):
        url = f"http://{host}{port}/".encode()
        client.send(GET.replace(b"http://reviews:9080/x", url))
        assert (await client.answer())[0] == 200


@pytest.mark.parametrize(
    "credential",
    [b"", b"Proxy-Authorization: Basic eDp5\r\n", b"Proxy-Authorization: Bearer x\r\n",
     b"Proxy-Authorization: Basic !!!\r\n", b"Proxy-Authorization:\r\n"],
)  # fmt: skip
async def test_without_the_credential_nothing_is_proxied(credential: bytes) -> None:
    async with outbound(MeshRoot()) as (_, proxy), connected(proxy) as client:
        client.send(GET.replace(CREDENTIAL + b"\r\n", credential))
        status, head, _ = await client.answer()
        assert status == 407
        assert b'proxy-authenticate: Basic realm="tulle"' in head
        assert b"x-tulle-reason: credential_missing" in head
        client.send(GET)  # the same connection, with it
        assert b"no_endpoints" in (await client.answer())[1]


async def test_a_server_of_another_account_is_refused_before_a_byte() -> None:
    root, heads = MeshRoot(), list[bytes]()
    async with (
        Backend(answering(OK, heads)) as app,
        inbound(root, app.port, account="ratings") as (_, port),
        outbound(root, port) as (_, proxy),
        connected(proxy) as client,
    ):
        client.send(GET)
        status, head, _ = await client.answer()
        assert status == 503
        assert b"x-tulle-reason: identity_refused" in head
        assert not heads


async def test_a_server_of_another_mesh_is_refused() -> None:
    async with (
        Backend(answering(OK)) as app,
        inbound(MeshRoot(), app.port) as (_, port),
        outbound(MeshRoot(), port) as (_, proxy),
        connected(proxy) as client,
    ):
        client.send(GET)
        assert b"x-tulle-reason: identity_refused" in (await client.answer())[1]


async def test_without_a_certificate_nothing_leaves() -> None:
    plane = sidecar("productpage")
    plane.install_hosts(hosts_config("reviews"))
    plane.install_service(service_record(1))
    plane.install_outbound(outbound_config(service_cluster()))
    async with listening(plane.outbound_protocol) as proxy, connected(proxy) as client:
        client.send(GET)
        assert b"x-tulle-reason: connect_failed" in (await client.answer())[1]
        await plane.drain("all", 0)


async def test_an_app_that_is_not_there() -> None:
    root = MeshRoot()
    async with Backend(answering(OK)) as app:
        gone = app.port
    async with (
        inbound(root, gone) as (_, port),
        outbound(root, port) as (_, proxy),
        connected(proxy) as client,
    ):
        client.send(GET)
        status, head, _ = await client.answer()
        assert status == 503
        assert b"x-tulle-reason: connect_failed" in head


@pytest.mark.parametrize("method", [b"GET", b"POST"])
async def test_an_app_that_is_gone_is_not_seen_while_there_is_another(method: bytes) -> None:
    root, heads = MeshRoot(), list[bytes]()
    async with Backend(answering(OK)) as app:
        gone = app.port
    async with (
        Backend(answering(OK, heads)) as good,
        inbound(root, gone) as (_, first),
        inbound(root, good.port) as (_, second),
        outbound(root, first, second) as (_, proxy),
        connected(proxy) as client,
    ):
        for _ in range(4):
            client.send(
                GET.replace(b"GET", method, 1).replace(b"Host", b"Content-Length: 0\r\nHost")
            )
            assert (await client.answer())[0] == 200
    assert len(heads) == 4


async def test_a_post_that_an_app_had_when_it_died_is_sent_once() -> None:
    root, heads = MeshRoot(), list[bytes]()

    async def dying(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await read_head(reader))
        writer.transport.abort()

    post = GET.replace(b"GET", b"POST", 1).replace(b"Host", b"Content-Length: 0\r\nHost")
    async with (
        Backend(dying) as one,
        Backend(dying) as two,
        inbound(root, one.port) as (_, first),
        inbound(root, two.port) as (_, second),
        outbound(root, first, second) as (_, proxy),
        connected(proxy) as client,
    ):
        client.send(post)
        status, head, _ = await client.answer()
    assert (status, len(heads)) == (503, 1)
    assert b"x-tulle-reason: upstream_reset" in head
    assert b"x-tulle-failed" not in head


async def test_an_app_can_not_say_that_it_was_not_reached() -> None:
    root, heads = MeshRoot(), list[bytes]()
    lie = OK.replace(b"200 OK", b"503 No\r\nx-tulle-failed: connect_failed")
    async with (
        Backend(answering(lie, heads)) as one,
        Backend(answering(lie, heads)) as two,
        inbound(root, one.port) as (_, first),
        inbound(root, two.port) as (_, second),
        outbound(root, first, second) as (_, proxy),
        connected(proxy) as client,
    ):
        client.send(GET)
        assert (await client.answer())[0] == 503
    assert len(heads) == 1


async def test_a_new_certificate_is_used_for_new_requests_at_once() -> None:
    root = MeshRoot()
    async with (
        Backend(answering(OK)) as app,
        inbound(root, app.port) as (theirs, port),
        outbound(root, port) as (ours, proxy),
        connected(proxy) as client,
    ):
        client.send(GET)
        await client.answer()
        (before,) = theirs._inbound[9080].connections
        ours.install_identity(root.identity("renamed"))
        client.send(GET)
        assert (await client.answer())[0] == 200
        await until(lambda: before not in theirs._inbound[9080].connections)
        (after,) = theirs._inbound[9080].connections
        assert after.principal == spiffe("renamed")


async def test_a_request_waits_for_its_config_which_is_asked_for_once() -> None:
    root, wanted = MeshRoot(), list[str]()
    host = "reviews.default.svc.cluster.local"
    async with Backend(answering(OK)) as app, inbound(root, app.port) as (_, port):
        plane = sidecar("productpage", wanted=wanted)
        plane.install_identity(root.identity("productpage"))
        async with (
            listening(plane.outbound_protocol) as proxy,
            connected(proxy) as one,
            connected(proxy) as two,
            connected(proxy) as gone,
        ):
            one.send(GET)
            two.send(GET)
            gone.send(GET)
            await until(lambda: len(plane._outbound._waiting) == 3)
            assert wanted == []  # the hosts are not known yet
            gone.writer.close()
            await until(lambda: len(plane._outbound._waiting) == 2)
            plane.install_hosts(hosts_config("reviews"))
            assert wanted == [host]
            plane.install_service(service_record(port))
            plane.install_outbound(outbound_config(service_cluster()))
            assert (await one.answer())[0] == (await two.answer())[0] == 200
            plane.remove_outbound(host)
            one.send(GET)
            await until(lambda: wanted == [host, host])
            status, head, _ = await one.answer()
            assert status == 503
            assert b"x-tulle-reason: config_unavailable" in head
            await plane.drain("all", 0)


async def test_a_service_with_two_ports_has_no_third() -> None:
    root = MeshRoot()
    async with outbound(root) as (plane, proxy), connected(proxy) as client:
        both = [outbound_config(service_cluster(port=port)) for port in (9080, 9081)]
        plane.install_outbound(
            type(both[0])(
                both[0].host,
                "default",
                both[0].ports + both[1].ports,
                both[0].clusters + both[1].clusters,
            )
        )
        client.send(GET.replace(b":9080", b":1234"))
        status, head, _ = await client.answer()
        assert status == 404
        assert b"x-tulle-reason: unknown_port" in head


async def test_endpoints_come_and_go_under_traffic_and_no_request_fails() -> None:
    root = MeshRoot()
    stop = asyncio.Event()
    served: dict[bytes, int] = {}

    def naming(name: bytes) -> Backend:
        return Backend(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n" + name))

    async def ask(proxy: int) -> None:
        async with connected(proxy) as client:
            while not stop.is_set():
                client.send(GET)
                status, _, body = await client.answer()
                assert status == 200
                served[body] = served.get(body, 0) + 1

    async with (
        naming(b"v1") as one,
        naming(b"v2") as two,
        inbound(root, one.port) as (_, first),
        inbound(root, two.port) as (_, second),
        outbound(root, first) as (plane, proxy),
    ):
        asking = [asyncio.create_task(ask(proxy)) for _ in range(4)]
        await until(lambda: served.get(b"v1", 0) > 20)
        for _ in range(5):
            plane.install_service(service_record(first, second))
            await until(lambda: served.get(b"v2", 0) > 20)
            plane.install_service(service_record(first))
            served.clear()
            await until(lambda: served.get(b"v1", 0) > 40)
            assert served.get(b"v2", 0) <= 4  # those under way
            plane.install_outbound(outbound_config(service_cluster()))
            served.clear()
        stop.set()
        await asyncio.gather(*asking)


async def test_a_subset_is_the_workloads_with_its_labels() -> None:
    root = MeshRoot()
    async with (
        Backend(answering(OK)) as app,
        inbound(root, app.port) as (_, port),
        outbound(root, 1, port) as (plane, proxy),
        connected(proxy) as client,
    ):
        plane.install_outbound(outbound_config(service_cluster(subset="v2")))
        for _ in range(5):
            client.send(GET)
            assert (await client.answer())[0] == 200
        plane.install_outbound(outbound_config(service_cluster(subset="v3")))
        client.send(GET)
        assert b"x-tulle-reason: no_endpoints" in (await client.answer())[1]


async def test_bodies_stream_both_ways_over_mtls() -> None:
    root = MeshRoot()
    size = 3_000_000

    async def echoes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        left = size
        while left:
            data = await reader.read(65_536)
            left -= len(data)
            writer.write(data)
            await writer.drain()

    async with (
        Backend(echoes) as app,
        inbound(root, app.port) as (_, port),
        outbound(root, port) as (_, proxy),
        connected(proxy) as client,
    ):
        body = b"0123456789" * (size // 10)
        client.send(GET[:-2].replace(b"GET", b"POST") + b"Content-Length: %d\r\n\r\n" % size + body)
        await client.head()
        assert await client.exactly(size) == body


@pytest.mark.parametrize(
    ("match", "reason"),
    [
        (HttpMatch(source_labels=(("app", "web"),)), b"no_endpoints"),
        (HttpMatch(source_namespace="default"), b"no_endpoints"),
        (HttpMatch(source_labels=(("app", "db"),)), b"route_not_found"),
        (HttpMatch(source_namespace="shop"), b"route_not_found"),
    ],
)
async def test_routes_for_clients_are_asked_of_the_workload(
    match: HttpMatch, reason: bytes
) -> None:
    workload = replace(spec("sidecar", 0, "productpage"), labels=(("app", "web"),))
    plane = Plane(workload, loop=asyncio.get_running_loop(), want_host=list[str]().append)
    plane.install_hosts(hosts_config("reviews"))
    cluster = service_cluster()
    route = Route("some", (match,), (Target(cluster.name, 1),))
    ports = (PortRoutes(cluster.port, "http", (route,)),)
    plane.install_outbound(replace(outbound_config(cluster), ports=ports))
    async with listening(plane.outbound_protocol) as proxy, connected(proxy) as client:
        client.send(GET)
        assert b"x-tulle-reason: " + reason in (await client.answer())[1]
        await plane.drain("all", 0)
