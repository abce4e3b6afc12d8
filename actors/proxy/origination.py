"""TLS that a proxy originates to a host outside the mesh: SIMPLE, or MUTUAL with a certificate.

Counterpart: material.py, which reads what users bring. Contexts are made in a thread, when the
first connection needs one or its files have changed, and kept.
"""

import asyncio
import logging
import ssl
from dataclasses import dataclass, replace
from typing import Any

from tulle.actors.proxy.material import Material, Materials, Source, Stamp, Unusable
from tulle.actors.proxy.pool import DialFailed, Endpoint
from tulle.actors.proxy.server_tls import load_ca, load_material
from tulle.actors.proxy.upstream import UpstreamConnection
from tulle.policies.config import UpstreamTls
from tulle.policies.reasons import UPSTREAM_TLS_FAILED, Reason

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Made:
    stamp: Stamp
    context: "asyncio.Future[ssl.SSLContext]"
    number: int


class ClientContexts:
    """Of one proxy, shared by all that ask for the same."""

    def __init__(self, materials: Materials) -> None:
        self._materials = materials
        self._made: dict[UpstreamTls, _Made] = {}

    async def of(self, tls: UpstreamTls) -> tuple[ssl.SSLContext, int]:
        """The context of this moment and its number, which rises when it is another. Unusable."""
        source = _source(tls)
        stamp = self._materials.stamp(source)
        made = self._made.get(tls)
        if made is None or made.stamp != stamp or _failed(made.context):
            number = made.number + 1 if made else 1
            making = asyncio.ensure_future(asyncio.to_thread(self._make, tls, source))
            made = self._made[tls] = _Made(stamp, making, number)
        # Shielded: one who waits no longer must not end it for the others.
        return await asyncio.shield(made.context), made.number

    def _make(self, tls: UpstreamTls, source: Source) -> ssl.SSLContext:
        return origination_context(tls, source, self._materials.read(source))


class OriginatingDialer:
    """Connects by TLS as `tls` says. Without an SNI of its own it asks for the cluster's host."""

    def __init__(self, tls: UpstreamTls, contexts: ClientContexts) -> None:
        self.generation = 0
        self._tls = tls
        self._contexts = contexts

    async def __call__(self, endpoint: Endpoint, address: str = "") -> UpstreamConnection:
        name = self._tls.sni or endpoint.host
        try:
            context, self.generation = await self._contexts.of(self._tls)
        except Unusable as error:
            # What is of this host is for the log, not for who asked.
            log.warning("TLS to %s: %s", name, error)
            raise DialFailed(
                _because(name, "this proxy's certificate or CA can't be used")
            ) from None
        generation = self.generation
        try:
            transport, upstream = await asyncio.get_running_loop().create_connection(
                lambda: UpstreamConnection(endpoint, generation),
                address or endpoint.address,
                endpoint.port,
                ssl=context,
                server_hostname=name,
            )
        except ssl.SSLCertVerificationError as error:
            raise DialFailed(_because(name, error.verify_message.rstrip("."))) from None
        except ssl.SSLError as error:
            raise DialFailed(_because(name, _told(error))) from None
        self._check_names(name, transport)
        return upstream

    def _check_names(self, name: str, transport: asyncio.Transport) -> None:
        wanted = set(self._tls.subject_alt_names)
        if not wanted or self._tls.insecure_skip_verify:
            return
        has = names_of(transport.get_extra_info("peercert") or {})
        if not wanted & has:
            transport.abort()
            why = f"its certificate is for {_few(has)}, not for {_few(wanted)}"
            raise DialFailed(_because(name, why))


def origination_context(tls: UpstreamTls, source: Source, material: Material) -> ssl.SSLContext:
    """Raises Unusable."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    if tls.insecure_skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    else:
        context.check_hostname = not tls.subject_alt_names  # else they are compared afterwards
        if material.ca:
            load_ca(context, source, material.ca)
        else:
            context.load_default_certs()
    if tls.mode == "MUTUAL":
        load_material(context, source, material)
    return context


def names_of(certificate: dict[str, Any]) -> set[str]:
    """The subject's alternative names of what `getpeercert` gives."""
    return {str(value) for _, value in certificate.get("subjectAltName", ())}


def _source(tls: UpstreamTls) -> Source:
    if tls.credential:
        return Source(tls.credential)
    return Source("", tls.client_certificate, tls.private_key, tls.ca_certificates)


def _failed(making: "asyncio.Future[ssl.SSLContext]") -> bool:
    return making.done() and (making.cancelled() or making.exception() is not None)


def _told(error: ssl.SSLError) -> str:
    return (error.reason or "the connection ended").lower().replace("_", " ")


def _few(names: set[str]) -> str:
    return ", ".join(sorted(names)[:5]) or "no name"


def _because(name: str, why: str) -> Reason:
    return replace(UPSTREAM_TLS_FAILED, sentence=f"TLS to {name} failed: {why}.")
