"""How an HTTPS listener ends TLS: one entry per server of its Gateways."""

from collections.abc import Iterable
from typing import Literal

from tulle.policies.config import ServerTls
from tulle.policies.hostnames import specific_first
from tulle.policies.resources.networking.gateway import TlsVersion
from tulle.policies.servers import OpenServer


def server_tls(servers: Iterable[OpenServer]) -> tuple[ServerTls, ...]:
    """The TLS of HTTPS servers, the one with the most specific host first; () for HTTP."""
    found = (_server(server) for server in servers if server.protocol == "HTTPS")
    return tuple(sorted((tls for tls in found if tls is not None), key=_order))


def _server(server: OpenServer) -> ServerTls | None:
    tls = server.server.tls
    if tls is None:
        return None
    return ServerTls(
        hosts=tuple(sorted(server.plain_hosts, key=specific_first)),
        mode="MUTUAL" if tls.mode == "MUTUAL" else "SIMPLE",
        certificate=tls.server_certificate or "",
        private_key=tls.private_key or "",
        ca_certificates=tls.ca_certificates or "",
        credential=tls.credential_name or "",
        min_version=_version(tls.min_protocol_version),
        max_version=_version(tls.max_protocol_version),
    )


def _version(written: TlsVersion | None) -> Literal["", "TLSV1_2", "TLSV1_3"]:
    return written if written == "TLSV1_2" or written == "TLSV1_3" else ""


def _order(tls: ServerTls) -> tuple[bool, int, str]:
    return specific_first(tls.hosts[0])
