"""hosts and outbound/<host>: which hosts there are, and what clients do with requests to one."""

from dataclasses import dataclass
from typing import Literal

from tulle.policies.config.clusters import Cluster
from tulle.policies.config.consistency import repeated, route_inconsistencies
from tulle.policies.config.routes import Route


@dataclass(frozen=True, slots=True)
class PortRoutes:
    """The routes of one port of a host, in order."""

    port: int
    protocol: str
    routes: tuple[Route, ...]


@dataclass(frozen=True, slots=True)
class HostEntry:
    """One host of the mesh; `key` is the host whose `outbound` config serves it."""

    host: str
    namespace: str
    key: str
    export_to: tuple[str, ...] = ("*",)


@dataclass(frozen=True, slots=True)
class HostsConfig:
    """Every host of the mesh, exact and wildcard, sorted. Short names are derived from it."""

    hosts: tuple[HostEntry, ...] = ()
    kind: Literal["hosts"] = "hosts"

    def inconsistencies(self) -> list[str]:
        """What must never be: said as sentences, empty when all is well."""
        names = [entry.host for entry in self.hosts]
        return [f"host {name} appears twice" for name in repeated(names)]


@dataclass(frozen=True, slots=True)
class OutboundConfig:
    """What clients do with requests to `host`."""

    host: str
    namespace: str
    ports: tuple[PortRoutes, ...]
    clusters: tuple[Cluster, ...]
    kind: Literal["outbound"] = "outbound"

    def inconsistencies(self) -> list[str]:
        """What must never be: said as sentences, empty when all is well."""
        routes = [route for port in self.ports for route in port.routes]
        return route_inconsistencies(routes, self.clusters)
