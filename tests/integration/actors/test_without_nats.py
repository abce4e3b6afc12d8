"""Proxies that start again while NATS is away serve by what they had, and not by less."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
import pytest_asyncio

from tests.support.awaiting import until
from tests.support.nats import frozen
from tests.support.policies_api import GATEWAY, virtual_service
from tests.support.small_mesh import SmallMesh, small_mesh
from tests.support.tiny_app import tiny_app
from tulle.actors.proxy.actor import ProxyActor
from tulle.actors.proxy.last_good import FOLDER

ROUTE = virtual_service("shop", "destination: {host: reviews}", gateway=True, host="*")
NOBODY = """
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: no-secrets}
spec:
  action: DENY
  rules: [{to: [{operation: {paths: ["/secret"]}}]}]
"""


@pytest_asyncio.fixture
async def mesh() -> AsyncIterator[SmallMesh]:
    async with small_mesh() as mesh:
        yield mesh


@pytest_asyncio.fixture
async def http() -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(trust_env=False, timeout=10) as client:
        yield client


@pytest_asyncio.fixture
async def url(mesh: SmallMesh) -> AsyncIterator[str]:
    """A gateway's URL, through which `reviews` is reached; nobody may have /secret."""
    async with tiny_app("one") as port:
        await mesh.serve("reviews", port)
        url = await mesh.gateway()
        applied = await (await mesh.policies()).apply(GATEWAY + ROUTE + NOBODY, wait=5)
        assert applied.ok, applied.problems
        yield url


async def again(mesh: SmallMesh, *, ready: bool = True) -> None:
    """All proxies end and are started with their specs of before, as Ray does it."""
    specs = [proxy.spec for proxy in mesh.proxies]
    for proxy in mesh.proxies:
        await proxy.stop()
    mesh.proxies[:] = [ProxyActor(spec, exit=lambda _: None) for spec in specs]
    for spec in specs if ready else ():
        await mesh.holder.wait_state(spec.id, "ready", 10)


async def statuses(http: httpx2.AsyncClient, url: str) -> list[int]:
    return [(await http.get(f"{url}{path}")).status_code for path in ("/", "/secret")]


@contextlib.asynccontextmanager
async def away(mesh: SmallMesh, how: str) -> AsyncIterator[None]:
    """NATS refuses connections, or takes them and says nothing."""
    with contextlib.ExitStack() as hanging:
        if how == "refusing":
            await mesh.bus.server.stop()
        else:
            hanging.enter_context(frozen(mesh.bus.server))
        yield
    if how == "refusing":
        await mesh.bus.server.start()


@pytest.mark.parametrize("how", ["refusing", "hanging"])
@pytest.mark.asyncio
async def test_they_serve_by_their_last_good_config_and_key(
    mesh: SmallMesh, http: httpx2.AsyncClient, url: str, how: str
) -> None:
    assert await statuses(http, url) == [200, 403]
    async with away(mesh, how):
        began = time.monotonic()
        await again(mesh)
        assert time.monotonic() - began < 3
        assert await statuses(http, url) == [200, 403]
    # What is applied then arrives at those who started without NATS.
    policies = await mesh.policies()

    async def deleted() -> bool:
        with contextlib.suppress(Exception):  # no leader yet
            return (await policies.delete("AuthorizationPolicy", "no-secrets", wait=5)).ok
        return False

    async with asyncio.timeout(15):
        while not await deleted():  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert await statuses(http, url) == [200, 200]
    async with asyncio.timeout(5):  # a status is up to 2 s old
        while not all(proxy.current for proxy in (await policies.status()).proxies):  # noqa: ASYNC110
            await asyncio.sleep(0.05)


@pytest.mark.asyncio
async def test_what_nats_says_goes_before_what_was_kept(
    mesh: SmallMesh, http: httpx2.AsyncClient, url: str
) -> None:
    specs = [proxy.spec for proxy in mesh.proxies]
    for proxy in mesh.proxies:
        await proxy.stop()
    deleted = await (await mesh.policies()).delete("AuthorizationPolicy", "no-secrets")
    assert deleted.ok
    for spec in specs:
        mesh.proxies.append(ProxyActor(spec, exit=lambda _: None))
        await mesh.holder.wait_state(spec.id, "ready", 10)
    assert await statuses(http, url) == [200, 200], "from its first request on"


@pytest.mark.asyncio
async def test_without_its_policies_a_proxy_waits_for_nats(
    mesh: SmallMesh, http: httpx2.AsyncClient, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    await mesh.bus.server.stop()
    for proxy in mesh.proxies:
        _damage(Path(proxy.spec.folder), b'"inbound.default"')
    await again(mesh, ready=False)
    gateway, sidecar = (
        next(it for it in mesh.proxies if it.spec.role == role) for role in ("gateway", "sidecar")
    )
    await mesh.holder.wait_state(gateway.spec.id, "ready", 10)
    assert (mesh.holder.state(sidecar.spec.id) or ("", ""))[0] == "starting"
    assert any("kept config is dropped" in line for line in caplog.messages)
    await mesh.bus.server.start()
    await mesh.holder.wait_state(sidecar.spec.id, "ready", 15)
    await until(lambda: sidecar._follower.has_first_keys.is_set())
    assert await statuses(http, url) == [200, 403]


def _damage(folder: Path, holding: bytes) -> None:
    for file in (folder / FOLDER).iterdir():
        content = file.read_bytes()
        if holding in content:
            file.write_bytes(content[: len(content) // 2])
