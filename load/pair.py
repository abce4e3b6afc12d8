"""Contestants of two proxies: a gateway, and over mTLS a sidecar in front of nginx.

Both processes' CPU is added. Ours are the gateway actor and the sidecar actor of a mesh that is
brought up for this; Envoy's are two processes with the same features (`envoy_pair.py`).
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType

from cryptography import x509

from tulle.actors.authority import certificates
from tulle.actors.supervisor.specs import GATEWAY_ACCOUNT, GATEWAY_NAMESPACE
from tulle.deploy.demo.mesh import OwnMesh
from tulle.load import envoy_pair, nginx, ours
from tulle.load.contestants import (
    OURS,
    WITHOUT_TELEMETRY,
    Contestant,
    Start,
    actors_of,
    answers,
    envoy_command,
    free_port,
    program,
    running,
)
from tulle.load.envoy_pair import Party
from tulle.load.rows import OWN_STATS, UNCOUNTED
from tulle.load.scenarios import PREFIXES

SERVICE = "backend"
PATH = f"{PREFIXES[0]}ready"
CALLER = f"cluster.local/ns/{GATEWAY_NAMESPACE}/sa/{GATEWAY_ACCOUNT}"
_LIFETIME = timedelta(hours=1)


@asynccontextmanager
async def _tulle(
    folder: Path, backend: int, name: str = OURS, settings: Mapping[str, str] = MappingProxyType({})
) -> AsyncIterator[Contestant]:
    mesh = OwnMesh(settings)
    try:
        file = await mesh.up()
        app, port = folder / f"app-{name}", free_port()
        app.mkdir()
        (app / "backend.conf").write_text(nginx.backend(port, app))
        command = (program("nginx"), "-c", str(app / "backend.conf"))
        child = await mesh.run("backend", SERVICE, "--port", f"{port}:9080", "--", *command)
        policies = folder / "tulle-pair.yaml"
        policies.write_text(ours.pair_policies(SERVICE, CALLER))
        await mesh.apply(policies)
        await answers(mesh.ingress[1], child.check, PATH)
        yield Contestant(name, mesh.ingress[1], actors_of(file, 2))
    finally:
        await mesh.end()


def _tulle_uncounted(folder: Path, backend: int) -> AbstractAsyncContextManager[Contestant]:
    return _tulle(folder, backend, UNCOUNTED, WITHOUT_TELEMETRY)


def _envoy(name: str, metrics: bool) -> Start:
    @asynccontextmanager
    async def start(home: Path, backend: int) -> AsyncIterator[Contestant]:
        front, behind = free_port(), free_port()
        folder = home / name
        folder.mkdir()
        roots, gateway, sidecar = _parties(folder)
        peer, caller = sidecar.spiffe_id, gateway.spiffe_id
        files = home / f"{name}-gateway.yaml", home / f"{name}-sidecar.yaml"
        files[0].write_text(
            envoy_pair.gateway(front, behind, free_port(), gateway, peer, roots, metrics)
        )
        files[1].write_text(
            envoy_pair.sidecar(behind, backend, free_port(), sidecar, caller, roots, metrics)
        )
        async with (
            running(f"{name}-sidecar", envoy_command(files[1]), None, home) as second,
            running(f"{name}-gateway", envoy_command(files[0]), front, home, PATH) as first,
        ):
            yield Contestant(name, front, (first, second))

    return start


PAIRS: Mapping[str, Start] = {
    OURS: _tulle,
    "envoy": _envoy("envoy", metrics=True),
    OWN_STATS: _envoy(OWN_STATS, metrics=False),
    UNCOUNTED: _tulle_uncounted,
}


def _parties(folder: Path) -> tuple[Path, Party, Party]:
    """The file of the roots, and a gateway and a server that they vouch for."""
    now = datetime.now(UTC)
    key = certificates.make_key()
    issuer = certificates.Issuer(key, certificates.make_root(key, "bench", now))
    roots = folder / "roots.pem"
    roots.write_bytes(certificates.certificate_pem(issuer.certificate))
    server = "cluster.local/ns/default/sa/backend"
    return roots, _party(folder, issuer, CALLER, now), _party(folder, issuer, server, now)


def _party(folder: Path, issuer: certificates.Issuer, principal: str, now: datetime) -> Party:
    key, spiffe_id = certificates.make_key(), f"spiffe://{principal}"
    serial = x509.random_serial_number()
    leaf = certificates.sign_leaf(
        issuer, key.public_key(), spiffe_id, lifetime=_LIFETIME, now=now, serial=serial
    )
    name = principal.rpartition("/")[2]
    party = Party(spiffe_id, folder / f"{name}.pem", folder / f"{name}.key")
    party.certificate.write_bytes(certificates.certificate_pem(leaf))
    party.key.touch(mode=0o600)
    party.key.write_bytes(certificates.key_pem(key))
    return party
