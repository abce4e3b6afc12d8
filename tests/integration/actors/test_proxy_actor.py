"""Proxies on a real NATS, holder, authority and evaluator: what is applied is what they do."""

import asyncio
import base64
import os
import socket
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest
import pytest_asyncio

from tests.support.awaiting import until
from tests.support.other_user import ask_as
from tests.support.policies_api import GATEWAY, service, virtual_service
from tests.support.small_mesh import PASSWORD, SmallMesh, small_mesh
from tests.support.tiny_app import tiny_app
from tulle.actors.authority.disk import load_ticket_key
from tulle.actors.authority.tickets import Ticket, make_ticket
from tulle.actors.holding import client as holding_client
from tulle.actors.proxy import actor as proxy_module
from tulle.actors.proxy import identity, peer_uid
from tulle.actors.proxy.actor import FOR_GOOD, TO_START_AGAIN, ProxyActor
from tulle.actors.proxy.cells import REQUESTS
from tulle.actors.proxy.events import Ref
from tulle.actors.proxy.spec import PortSpec
from tulle.actors.proxy.telemetry import TelemetrySender
from tulle.actors.proxy.tls import Identity
from tulle.bus import codec, keys
from tulle.bus.errors import NoAnswer, NobodyListens
from tulle.bus.messages import ServicePort, ServiceRecord, TelemetryBatch, Workload
from tulle.bus.permissions import Role
from tulle.bus.subjects import Bucket
from tulle.bus.subscription import Message
from tulle.policies.reasons import REASON_HEADER

ROUTE = virtual_service("shop", "destination: {host: reviews}", gateway=True, host="*")
EXTERNAL = """
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: away}
spec:
  hosts: [away.example.com]
  location: MESH_EXTERNAL
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP}]
  endpoints: [{address: 127.0.0.1, ports: {http: PORT}}]
"""
OUTSIDE = virtual_service("shop", "destination: {host: away.example.com}", gateway=True, host="*")


@pytest_asyncio.fixture
async def mesh() -> AsyncIterator[SmallMesh]:
    async with small_mesh() as mesh:
        yield mesh


@pytest_asyncio.fixture
async def http() -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(trust_env=False, timeout=10) as client:
        yield client


@pytest_asyncio.fixture
async def app() -> AsyncIterator[int]:
    async with tiny_app("one") as port:
        yield port


@pytest.mark.asyncio
async def test_a_gateway_forwards_what_is_applied(
    mesh: SmallMesh, http: httpx2.AsyncClient, app: int
) -> None:
    url = await mesh.gateway()
    before = await http.get(url)
    assert (before.status_code, before.headers[REASON_HEADER]) == (404, "no_gateway")
    policies = await mesh.policies()
    applied = await policies.apply(GATEWAY + OUTSIDE + EXTERNAL.replace("PORT", str(app)), wait=5)
    assert applied.ok, applied.problems
    answer = await http.get(f"{url}/hello")
    assert answer.status_code == 200 and answer.json()["path"] == "/hello"
    await policies.delete("Gateway", "bookinfo", wait=5)
    assert (await http.get(url)).headers[REASON_HEADER] == "no_gateway"


@pytest.mark.asyncio
async def test_from_the_gateway_to_the_app_over_mtls(
    mesh: SmallMesh, http: httpx2.AsyncClient, app: int
) -> None:
    workload = await mesh.serve("reviews", app)
    url = await mesh.gateway()
    policies = await mesh.policies()
    assert (await policies.apply(GATEWAY + ROUTE, wait=5)).ok
    answer = await http.get(f"{url}/reviews/1", headers={"x-tulle-peer": "forged"})
    assert answer.status_code == 200, answer.headers
    assert "x-tulle-peer" not in answer.json()["headers"]
    reader, writer = await asyncio.open_connection("127.0.0.1", workload.ports[9080])
    writer.write(b"GET / HTTP/1.1\r\nHost: reviews\r\n\r\n")
    assert await _all_of(reader) == b"", "without TLS not a byte comes back"
    writer.close()


@pytest.mark.asyncio
async def test_a_sidecar_reaches_a_service_on_first_use(
    mesh: SmallMesh, http: httpx2.AsyncClient, app: int
) -> None:
    await mesh.serve("reviews", app)
    client = await mesh.sidecar("sleep")
    door = mesh.url(client.id, "outbound")
    async with httpx2.AsyncClient(proxy=door, trust_env=False) as stranger:
        assert (await stranger.get("http://reviews:9080/")).status_code == 407
    proxy = door.replace("http://", f"http://tulle:{PASSWORD}@")
    async with httpx2.AsyncClient(proxy=proxy, trust_env=False) as through:
        answer = await through.get("http://reviews:9080/hello")
        assert answer.status_code == 200 and answer.json()["name"] == "one"


@pytest.mark.asyncio
async def test_endpoints_come_and_go_without_a_compile(
    mesh: SmallMesh, http: httpx2.AsyncClient, app: int
) -> None:
    workload = await mesh.serve("reviews", app)
    url = await mesh.gateway()
    assert (await (await mesh.policies()).apply(GATEWAY + ROUTE, wait=5)).ok
    assert (await http.get(url)).status_code == 200
    await mesh.register(service("reviews"))
    await _until_status(http, url, 503)
    await mesh.register(service("reviews", workload))
    await _until_status(http, url, 200)


@pytest.mark.asyncio
async def test_a_lost_event_is_repaired(
    mesh: SmallMesh, http: httpx2.AsyncClient, app: int
) -> None:
    lost: list[Ref] = []
    gateway = Ref(Bucket.CONFIG, keys.gateway("ingress"))

    def loses(ref: Ref) -> bool:
        if ref == gateway:
            lost.append(ref)
        return ref == gateway

    url = await mesh.gateway(loses)
    policies = await mesh.policies()
    applied = await policies.apply(GATEWAY + OUTSIDE + EXTERNAL.replace("PORT", str(app)), wait=5)
    assert applied.ok, applied.problems
    assert lost, "the event was lost on purpose"
    assert (await http.get(url)).status_code == 200


@pytest.mark.asyncio
async def test_status_says_that_every_proxy_is_current(mesh: SmallMesh, app: int) -> None:
    await mesh.serve("reviews", app)
    await mesh.gateway()
    policies = await mesh.policies()
    await policies.apply(GATEWAY + ROUTE, wait=5)
    async with asyncio.timeout(5):
        while not all(p.current for p in (await policies.status()).proxies):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    gateway, sidecar = (await policies.status()).proxies
    assert (gateway.role, gateway.state, sidecar.role) == ("gateway", "ready", "sidecar")
    assert gateway.listening[0].startswith("gateway:80 127.0.0.1:")
    assert [one.split()[0] for one in sidecar.listening] == ["inbound:9080", "outbound"]


@pytest.mark.asyncio
async def test_traffic_and_policy_go_on_after_a_restart_of_nats(
    mesh: SmallMesh, http: httpx2.AsyncClient, app: int
) -> None:
    await mesh.serve("reviews", app)
    url = await mesh.gateway()
    policies = await mesh.policies()
    assert (await policies.apply(GATEWAY + ROUTE, wait=5)).ok
    await mesh.bus.server.stop()
    assert (await http.get(url)).status_code == 200
    await mesh.bus.server.start()
    async with tiny_app("two") as other:
        await asyncio.wait_for(mesh.serve("other", other), 20)
        await _until_applied(mesh, ROUTE.replace("{host: reviews}", "{host: other}"))
        assert (await http.get(url)).json()["name"] == "two"


@pytest.mark.asyncio
async def test_a_proxy_starts_again_without_an_authority(
    mesh: SmallMesh, http: httpx2.AsyncClient, app: int
) -> None:
    spec = mesh.sidecar_spec("reviews", app)
    await (await mesh.start(spec)).stop()
    await mesh.authority.stop()
    await mesh.start(spec)
    assert await mesh.holder.wait_state(spec.id, "ready", 1) == ""


@pytest.mark.asyncio
async def test_a_proxy_without_a_certificate_says_so_and_waits(mesh: SmallMesh, app: int) -> None:
    spec = replace(mesh.sidecar_spec("reviews", app), ticket="forged")
    proxy = ProxyActor(spec, exit=lambda _: None)
    mesh.proxies.append(proxy)
    await until(lambda: "certificate" in (mesh.holder.state(spec.id) or ("", ""))[1])
    assert (mesh.holder.state(spec.id) or ("", ""))[0] == "starting"
    assert mesh.holder.addresses(spec.id) == {}, "it does not listen"


@pytest.mark.asyncio
async def test_a_lost_key_is_replaced_by_a_respawn_alone(mesh: SmallMesh, app: int) -> None:
    spec = mesh.sidecar_spec("reviews", app)
    await (await mesh.start(spec)).stop()
    await asyncio.to_thread((Path(spec.folder) / "identity.json").unlink)
    proxy = ProxyActor(spec, exit=lambda _: None)
    mesh.proxies.append(proxy)
    await until(lambda: "bound to the key" in (mesh.holder.state(spec.id) or ("", ""))[1])
    assert (mesh.holder.state(spec.id) or ("", ""))[0] == "starting"
    await proxy.stop()
    key = load_ticket_key(mesh.home / "authority")
    ticket = Ticket(spec.id, spec.namespace, spec.account, time.time())
    await mesh.start(replace(spec, ticket=make_ticket(key, ticket)))
    assert await mesh.holder.wait_state(spec.id, "ready", 1) == ""


@pytest.mark.asyncio
async def test_an_expired_certificate_is_renewed_by_its_key(
    mesh: SmallMesh, app: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = mesh.sidecar_spec("reviews", app)
    await (await mesh.start(spec)).stop()
    first = Identity.load(Path(spec.folder))
    assert first is not None
    expired = replace(first, not_after=time.time() - 1)
    with monkeypatch.context() as patch:
        patch.setattr(Identity, "load", lambda folder: expired)
        await mesh.start(spec)
    second = Identity.load(Path(spec.folder))
    assert second is not None and second.key_pem != first.key_pem


@pytest.mark.asyncio
async def test_certificates_rotate_under_traffic(http: httpx2.AsyncClient, app: int) -> None:
    async with small_mesh(leaf_ttl_seconds=10) as mesh:
        await mesh.serve("reviews", app)
        url = await mesh.gateway()
        assert (await (await mesh.policies()).apply(GATEWAY + ROUTE, wait=5)).ok
        folder = Path(mesh.proxies[0].spec.folder)
        first = Identity.load(folder)
        async with asyncio.timeout(10):
            while Identity.load(folder) == first:
                assert (await http.get(url)).status_code == 200
                await asyncio.sleep(0.02)
        assert (await http.get(url)).status_code == 200


@pytest.mark.asyncio
async def test_counters_leave_each_second_and_all_of_them_on_request(
    mesh: SmallMesh, http: httpx2.AsyncClient
) -> None:
    batches: list[TelemetryBatch] = []

    async def hear(message: Message) -> None:
        batches.append(codec.decode(TelemetryBatch, message.data))

    collector = await mesh.bus.connect(Role.COLLECTOR)
    await collector.subscribe(mesh.bus.subjects.telemetry_all, hear)
    url = await mesh.gateway()
    for _ in range(3):
        await http.get(url)

    def counted() -> float:
        series = [one for batch in batches for one in batch.series if one.name == REQUESTS]
        return series[-1].value if series else 0

    await until(lambda: counted() == 3)
    batches.clear()
    await collector.publish(mesh.bus.subjects.proxy_command("all", "telemetry"))
    await until(lambda: counted() == 3)
    assert batches[0].full


@pytest.mark.asyncio
async def test_a_sidecar_ends_with_its_holder(mesh: SmallMesh, app: int) -> None:
    workload = await mesh.sidecar("reviews", app)
    await mesh.holder.close()
    await until(lambda: mesh.exited == [(workload.id, FOR_GOOD)])
    await mesh.holder.start()


@pytest.mark.parametrize("part", ["certificate keeper", "main task"])
@pytest.mark.asyncio
async def test_a_proxy_that_fails_within_says_so_and_is_started_again(
    mesh: SmallMesh,
    app: int,
    part: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(proxy_module, "LAST_WORDS_SECONDS", 0.2)

    def fail(*_: object) -> float:
        raise KeyError("a mistake of ours")

    if part == "main task":
        monkeypatch.setattr(TelemetrySender, "send", fail)
    else:
        monkeypatch.setattr(identity, "renew_after", fail)
    workload = await mesh.sidecar("reviews", app)
    policies = await mesh.policies()
    async with asyncio.timeout(5):
        while not (proxies := (await policies.status()).proxies) or not proxies[0].problems:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert "a mistake of ours" in proxies[0].problems[0]
    await until(lambda: mesh.exited == [(workload.id, TO_START_AGAIN)])
    assert any("a mistake of ours" in (line.exc_text or "") for line in caplog.records)


@pytest.mark.asyncio
async def test_the_app_is_drained_inbound_first(
    mesh: SmallMesh, http: httpx2.AsyncClient, app: int
) -> None:
    workload = await mesh.sidecar("reviews", app)
    assert await mesh.holder.wait_state(workload.id, "ready", 1) == ""
    await mesh.holder.command(workload.id, "drain_inbound", 5)
    _, writer = await asyncio.open_connection("127.0.0.1", _port(mesh, workload.id))
    writer.close()
    outbound = mesh.url(workload.id, "outbound")
    async with httpx2.AsyncClient(proxy=outbound, trust_env=False) as client:
        assert (await client.get("http://reviews/")).status_code == 407, "outbound still answers"


@pytest.mark.asyncio
async def test_a_drained_gateway_lets_its_requests_end(
    mesh: SmallMesh, http: httpx2.AsyncClient
) -> None:
    url = await mesh.gateway()
    assert (await http.get(url)).status_code == 404
    [gateway] = mesh.proxies
    drain = asyncio.create_task(gateway.drain())
    async with asyncio.timeout(5):
        while (await http.get(url)).headers.get("connection") != "close":  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    await asyncio.wait_for(drain, 10)


@pytest.mark.asyncio
async def test_a_port_that_can_not_be_opened_is_said(mesh: SmallMesh) -> None:
    await mesh.gateway()
    with socket.create_server(("127.0.0.1", 0)) as busy:
        mesh.ports["gateway:81"] = busy.getsockname()[1]
        policies = await mesh.policies()
        answer = await policies.apply(GATEWAY.replace("80", "81"), wait=5)
    assert answer.ok, "the rest works"
    assert ["warning"] == [one.severity for one in answer.problems if "gateway:81" in one.message]
    [status] = (await policies.status()).proxies
    assert "gateway:81" in status.problems[0]
    async with asyncio.timeout(10):
        while (await policies.status()).proxies[0].problems:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def _all_of(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read()
    except ConnectionError:
        return b""


def _port(mesh: SmallMesh, proxy: str) -> int:
    return mesh.holder.addresses(proxy)["inbound:9080"][1]


async def _until_status(http: httpx2.AsyncClient, url: str, status: int) -> None:
    async with asyncio.timeout(5):
        while (await http.get(url)).status_code != status:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def _until_applied(mesh: SmallMesh, text: str) -> None:
    """Asks as `tulle apply` does: the same request again, while no evaluator leads yet."""
    policies = await mesh.policies()
    async with asyncio.timeout(15):
        while True:
            with suppress(NobodyListens, NoAnswer):
                if (await policies.apply(text, wait=5, request="again")).ok:
                    return
            await asyncio.sleep(0.1)


@pytest.mark.asyncio
async def test_a_sidecar_that_cannot_tell_its_clients_apart_serves_none_and_says_so(
    mesh: SmallMesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await mesh.sidecar("sleep")
    _, port = mesh.holder.addresses(client.id)["outbound"]
    assert await _answer_of(port) == b"HTTP/1.1 407"
    (proxy,) = (it for it in mesh.proxies if it.spec.id == client.id)
    proxy._doors._peer_uid.close()
    with monkeypatch.context() as without:
        without.setattr(peer_uid, "_NETLINK_SOCK_DIAG", 31)  # no such family
        assert await _answer_of(port) == b""
        await until(lambda: "their uid can't be told" in _detail(mesh, client.id))
    assert await _answer_of(port) == b"HTTP/1.1 407"
    await until(lambda: not _detail(mesh, client.id))


@pytest.mark.asyncio
async def test_tcp_from_a_client_through_two_sidecars_to_an_app(mesh: SmallMesh) -> None:
    async def app(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"you said " + await reader.read())
        writer.close()

    async with await asyncio.start_server(app, "127.0.0.1", 0) as server:
        app_port = server.sockets[0].getsockname()[1]
        spec = replace(
            mesh.sidecar_spec("db", app_port), ports=(PortSpec(5432, app_port, protocol="tcp"),)
        )
        await mesh.start(spec)
        _, inbound = mesh.holder.addresses(spec.id)["inbound:5432"]
        workload = Workload(
            id=spec.id, account="db", state="ready", address="127.0.0.1", ports={5432: inbound}
        )
        port = ServicePort(number=5432, protocol="tcp")
        await mesh.register(
            ServiceRecord(
                namespace="default", name="db", ports=[port], accounts=["db"], workloads=[workload]
            )
        )
        client = await mesh.sidecar("sleep")
        door = mesh.holder.addresses(client.id)["outbound"]
        async with asyncio.timeout(10):
            reader, writer = await _tunnel(door, b"db:5432")
            writer.write(b"hello")
            writer.write_eof()
            assert await reader.read() == b"you said hello"
        writer.close()
        plain, writer = await asyncio.open_connection("127.0.0.1", inbound)
        writer.write(b"hello")
        assert await _all_of(plain) == b"", "without TLS not a byte comes back"
        writer.close()


@pytest.mark.asyncio
async def test_another_user_of_the_machine_gets_nothing_of_a_sidecar(
    mesh: SmallMesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, nobody = os.getuid(), 65_534
    client = await mesh.sidecar("sleep")
    _, port = mesh.holder.addresses(client.id)["outbound"]
    assert await ask_as(ours, "127.0.0.1", port) == "407"
    if ours == 0:  # only root can become somebody else
        assert await ask_as(nobody, "127.0.0.1", port) == "closed"
    # A `tulle run` of another user, whose sidecar is the same user's as the raylet.
    monkeypatch.setattr(holding_client, "peer_uid", lambda sock: nobody)
    theirs = await mesh.sidecar("curl")
    _, port = mesh.holder.addresses(theirs.id)["outbound"]
    assert await ask_as(ours, "127.0.0.1", port) == "closed"


async def _tunnel(
    door: tuple[str, int], target: bytes
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A tunnel to `target`, once the sidecar has heard of it."""
    credential = base64.b64encode(f"tulle:{PASSWORD}".encode())
    lines = (
        b"CONNECT %b HTTP/1.1" % target,
        b"Host: %b" % target,
        b"Proxy-Authorization: Basic %b" % credential,
    )
    while True:
        reader, writer = await asyncio.open_connection(*door)
        writer.write(b"\r\n".join((*lines, b"", b"")))
        head = await reader.readuntil(b"\r\n\r\n")
        if head.startswith(b"HTTP/1.1 200 "):
            return reader, writer
        assert b"connect_not_supported" in head, head
        writer.close()


async def _answer_of(port: int) -> bytes:
    """The first 12 bytes of the answer to a request without a credential."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(b"GET http://reviews/ HTTP/1.1\r\nHost: reviews\r\n\r\n")
        return await _head_of(reader)
    finally:
        writer.close()


async def _head_of(reader: asyncio.StreamReader) -> bytes:
    """Up to 12 bytes; nothing when the connection is closed or reset."""
    try:
        async with asyncio.timeout(5):
            return await reader.readexactly(12)
    except (ConnectionError, asyncio.IncompleteReadError):
        return b""


def _detail(mesh: SmallMesh, proxy: str) -> str:
    said = mesh.holder.state(proxy)
    return said[1] if said is not None else ""
