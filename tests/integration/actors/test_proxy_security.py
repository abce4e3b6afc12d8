"""HTTPS, mTLS modes, authorization and rotation on proxies as they run: NATS, holder, authority."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
import pytest_asyncio

from tests.support.awaiting import until
from tests.support.policies_api import GATEWAY, virtual_service
from tests.support.small_mesh import SmallMesh, small_mesh
from tests.support.tiny_app import tiny_app
from tests.support.web_ca import WebCA
from tulle.actors.proxy.tls import Identity
from tulle.bus import codec, keys
from tulle.bus.store import Change
from tulle.bus.subjects import Bucket
from tulle.policies.reasons import REASON_HEADER

ROUTE = virtual_service("shop", "destination: {host: reviews}", gateway=True, host="*")
HTTPS = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: bookinfo}
spec:
  selector: {istio: ingressgateway}
  servers:
  - port: {number: 443, name: https, protocol: HTTPS}
    hosts: ["*.example"]
    tls: {mode: SIMPLE, credentialName: shop}
"""
PEERS = """
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default}
spec: {mtls: {mode: MODE}}
"""
VIEWERS = """
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: viewers}
spec:
  action: ALLOW
  rules:
  - from: [{source: {principals: [PRINCIPAL]}}]
"""
CA = WebCA()

pytestmark = pytest.mark.asyncio


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


async def shown(port: int, name: str) -> set[str]:
    """The names of the certificate at a gateway's port, for clients that ask for `name`."""
    _, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=CA.client(), server_hostname=name
    )
    certificate = writer.get_extra_info("peercert")
    writer.close()
    return {value for _, value in certificate["subjectAltName"]}


async def test_https_with_a_credential_that_comes_later_and_is_replaced(
    mesh: SmallMesh, app: int
) -> None:
    credentials = await mesh.bus.open_store(Bucket.CREDENTIALS)
    await mesh.serve("reviews", app)
    await mesh.gateway()
    policies = await mesh.policies()
    assert (await policies.apply(HTTPS + ROUTE, wait=5)).ok
    await until(lambda: "gateway:443" in mesh.holder.addresses("ingress"))
    _, port = mesh.holder.addresses("ingress")["gateway:443"]

    def problem() -> str:
        return (mesh.holder.state(mesh.proxies[-1].spec.id) or ("", ""))[1]

    await until(lambda: "tulle credential add shop" in problem())
    with pytest.raises(OSError):
        await shown(port, "a.example")
    for names in (("a.example",), ("a.example", "b.example")):
        record = codec.encode(CA.credential("shop", *names))
        await credentials.put_all([Change(keys.credential("shop"), record)])
        await until(lambda: problem() == "")
        async with asyncio.timeout(5):
            while await _shown_or_nothing(port, "a.example") != set(names):  # noqa: ASYNC110 - asked
                await asyncio.sleep(0.02)
    async with httpx2.AsyncClient(verify=CA.client(), trust_env=False) as client:
        answer = await client.get(
            f"https://127.0.0.1:{port}/x",
            headers={"host": "a.example"},
            extensions={"sni_hostname": "a.example"},
        )
        assert answer.status_code == 200
        assert answer.json()["headers"]["x-forwarded-proto"] == "https"


async def _shown_or_nothing(port: int, name: str) -> set[str]:
    try:
        return await shown(port, name)
    except (OSError, ssl.SSLError):
        return set()


async def test_permissive_lets_a_plain_client_in_and_strict_again_does_not(
    mesh: SmallMesh, http: httpx2.AsyncClient, app: int
) -> None:
    workload = await mesh.serve("reviews", app)
    url = await mesh.gateway()
    policies = await mesh.policies()
    assert (await policies.apply(GATEWAY + ROUTE, wait=5)).ok
    direct = f"http://127.0.0.1:{workload.ports[9080]}/"
    for mode, plain in (("STRICT", False), ("PERMISSIVE", True), ("STRICT", False)):
        assert (await policies.apply(PEERS.replace("MODE", mode), wait=5)).ok
        if plain:
            answer = await http.get(direct)
            assert answer.status_code == 200
            assert "x-forwarded-client-cert" not in answer.json()["headers"]
        else:
            with pytest.raises(httpx2.TransportError):
                await http.get(direct)
        assert (await http.get(url)).status_code == 200


async def test_only_whom_a_policy_allows_is_answered(
    mesh: SmallMesh, http: httpx2.AsyncClient, app: int
) -> None:
    await mesh.serve("reviews", app)
    url = await mesh.gateway()
    policies = await mesh.policies()
    assert (await policies.apply(GATEWAY + ROUTE, wait=5)).ok
    gateway = "cluster.local/ns/istio-system/sa/ingress"
    for principal, status in (("cluster.local/ns/default/sa/productpage", 403), (gateway, 200)):
        assert (await policies.apply(VIEWERS.replace("PRINCIPAL", principal), wait=5)).ok
        answer = await http.get(url)
        assert answer.status_code == status
        if status == 403:
            assert answer.headers[REASON_HEADER] == "rbac_denied"
            assert "AuthorizationPolicy/default/viewers" in answer.text and gateway in answer.text
    assert f"uri=spiffe://{gateway}" in answer.json()["headers"]["x-forwarded-client-cert"]
    assert (await policies.delete("AuthorizationPolicy", "viewers", wait=5)).ok
    assert (await http.get(url)).status_code == 200


async def test_a_leaf_of_ten_seconds_rotates_on_both_sides_and_no_request_fails(
    http: httpx2.AsyncClient, app: int
) -> None:
    async with small_mesh(leaf_ttl_seconds=10) as mesh:
        await mesh.serve("reviews", app)
        url = await mesh.gateway()
        assert (await (await mesh.policies()).apply(GATEWAY + ROUTE, wait=5)).ok
        folders = [Path(proxy.spec.folder) for proxy in mesh.proxies]
        first = [Identity.load(folder) for folder in folders]
        asked: list[asyncio.Task[httpx2.Response]] = []
        async with asyncio.timeout(25):
            while any(
                (now := Identity.load(folder)) is None or now == before
                for folder, before in zip(folders, first, strict=True)
            ):
                method = ("GET", "POST")[len(asked) % 2]
                asked.append(asyncio.create_task(http.request(method, url)))
                await asyncio.sleep(0.02)
        answers = await asyncio.gather(*asked)
        assert {answer.status_code for answer in answers} == {200}
        assert len(folders) == 2 and len(answers) > 50
