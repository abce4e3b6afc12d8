"""How a cluster is spoken to: mTLS of the mesh, plain, or TLS that the proxy originates."""

from dataclasses import dataclass
from typing import Final, Literal

from tulle.policies.config import UpstreamTls
from tulle.policies.resources.networking.destination_rule import ClientTls

TLS_PORTS: Final = ("https", "tls")
"""Protocols of ports that expect TLS: HTTP reaches them only when the proxy originates it."""


@dataclass(frozen=True, slots=True)
class Security:
    """The fields of a config.Cluster that say how it is spoken to."""

    tls: Literal["ISTIO_MUTUAL", "DISABLE", "SIMPLE", "MUTUAL"]
    written: bool = False
    upstream: UpstreamTls | None = None

    def protocol(self, of_port: str) -> str:
        """The cluster's protocol: a port that expects TLS takes HTTP once TLS is originated."""
        return "http" if self.upstream is not None and of_port in TLS_PORTS else of_port


def security_of(tls: ClientTls | None, in_mesh: bool) -> Security:
    """As a DestinationRule says; else mTLS to services of the mesh and plain to other hosts."""
    if tls is None or tls.mode is None:
        return Security("ISTIO_MUTUAL" if in_mesh else "DISABLE")
    if tls.mode == "SIMPLE" or tls.mode == "MUTUAL":
        return Security(tls.mode, True, _upstream(tls.mode, tls))
    return Security(tls.mode, True)


def _upstream(mode: Literal["SIMPLE", "MUTUAL"], tls: ClientTls) -> UpstreamTls:
    return UpstreamTls(
        mode,
        sni=tls.sni or "",
        subject_alt_names=tuple(sorted(set(tls.subject_alt_names))),
        ca_certificates=tls.ca_certificates or "",
        client_certificate=tls.client_certificate or "",
        private_key=tls.private_key or "",
        credential=tls.credential_name or "",
        insecure_skip_verify=bool(tls.insecure_skip_verify),
    )
