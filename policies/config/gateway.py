"""gateway/<pool>: the ports of a pool of gateways, how TLS ends there, and their routes."""

from dataclasses import dataclass
from typing import Literal

from tulle.policies.config.clusters import Cluster
from tulle.policies.config.consistency import route_inconsistencies
from tulle.policies.config.routes import Route


@dataclass(frozen=True, slots=True)
class VirtualHost:
    """`domains` are exact hosts, `*.suffix` or `*`; the most specific virtual host is taken."""

    domains: tuple[str, ...]
    routes: tuple[Route, ...]


@dataclass(frozen=True, slots=True)
class ServerTls:
    """How TLS ends for the SNI `hosts`: by files of the gateway's host, or by `credential`.

    `credential` names key and certificate (and CA) in bucket `credentials`. MUTUAL asks for a
    client certificate of `ca_certificates`. Versions are empty, TLSV1_2 or TLSV1_3.
    """

    hosts: tuple[str, ...]
    mode: Literal["SIMPLE", "MUTUAL"] = "SIMPLE"
    certificate: str = ""
    private_key: str = ""
    ca_certificates: str = ""
    credential: str = ""
    min_version: Literal["", "TLSV1_2", "TLSV1_3"] = ""
    max_version: Literal["", "TLSV1_2", "TLSV1_3"] = ""


@dataclass(frozen=True, slots=True)
class GatewayListener:
    """One port of a pool of gateways, as written in the policy (80 stays 80).

    `tls` is of HTTPS: the first whose hosts fit the SNI, exact ones before wildcards.
    """

    port: int
    protocol: Literal["HTTP", "HTTPS"]
    virtual_hosts: tuple[VirtualHost, ...]
    tls: tuple[ServerTls, ...] = ()


@dataclass(frozen=True, slots=True)
class GatewayConfig:
    """All Gateways that select the pool, merged."""

    pool: str
    listeners: tuple[GatewayListener, ...] = ()
    clusters: tuple[Cluster, ...] = ()
    kind: Literal["gateway"] = "gateway"

    def inconsistencies(self) -> list[str]:
        """What must never be: said as sentences, empty when all is well."""
        routes = [
            route
            for listener in self.listeners
            for host in listener.virtual_hosts
            for route in host.routes
        ]
        return route_inconsistencies(routes, self.clusters)
