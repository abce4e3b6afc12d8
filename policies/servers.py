"""Which servers of a pool's Gateways are really open: of two that exclude each other the older.

A port speaks HTTP or HTTPS, and an SNI host of an HTTPS port has one server. Counterparts:
`compile/gateway.py` opens what is found here, `validate.py` warns of what is not.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from tulle.policies.hostnames import HostTable
from tulle.policies.resources.networking.gateway import Gateway, Server
from tulle.policies.world import Policy


@dataclass(frozen=True, slots=True)
class OpenServer:
    """A server of a Gateway and what it serves of its `hosts`, as written.

    `blocked_by`: the older Gateway that has opened the port with the other protocol; then it
    serves nothing. `older`: hosts that an older server of the port has as well, and whose it is.
    An HTTPS server does not serve those, HTTP servers share them.
    """

    gateway: Policy
    position: int
    server: Server
    protocol: Literal["HTTP", "HTTPS"]
    hosts: tuple[str, ...] = ()
    blocked_by: Policy | None = None
    older: tuple[tuple[str, Policy], ...] = ()

    @property
    def port(self) -> int:
        """The port's number, as written."""
        return self.server.port.number

    @property
    def redirects(self) -> bool:
        """Whether it sends every request to https."""
        tls = self.server.tls
        return self.protocol == "HTTP" and tls is not None and bool(tls.https_redirect)

    @property
    def plain_hosts(self) -> tuple[str, ...]:
        """The hosts that it serves without their namespaces, each once."""
        return tuple(dict.fromkeys(_host(self.gateway, written) for written in self.hosts))


def open_servers(gateways: Iterable[tuple[Policy, Gateway]]) -> tuple[OpenServer, ...]:
    """All servers of the Gateways of one pool, given with their specs, the older first."""
    ports: dict[int, OpenServer] = {}
    owners: dict[tuple[int, str], Policy] = {}
    found: list[OpenServer] = []
    for gateway, spec in gateways:
        for position, server in enumerate(spec.servers):
            opened = _opened(gateway, position, server, ports, owners)
            ports.setdefault(opened.port, opened)
            for written in opened.hosts:
                owners.setdefault(_owned(opened.protocol, gateway, server, written), gateway)
            found.append(opened)
    return tuple(found)


def servers_by_host(servers: Iterable[OpenServer]) -> Mapping[int, HostTable[OpenServer]]:
    """By port: the server of a host; the most specific counts, of equal ones the older."""
    ports: dict[int, dict[str, OpenServer]] = {}
    for server in servers:
        for host in server.plain_hosts:
            ports.setdefault(server.port, {}).setdefault(host, server)
    return {port: HostTable(hosts) for port, hosts in ports.items()}


def _opened(
    gateway: Policy,
    position: int,
    server: Server,
    ports: Mapping[int, OpenServer],
    owners: Mapping[tuple[int, str], Policy],
) -> OpenServer:
    protocol: Literal["HTTP", "HTTPS"] = (
        "HTTPS" if server.port.protocol.upper() == "HTTPS" else "HTTP"
    )
    first = ports.get(server.port.number)
    if first is not None and first.protocol != protocol:
        return OpenServer(gateway, position, server, protocol, blocked_by=first.gateway)
    older = {
        written: owner
        for written in server.hosts
        if (owner := owners.get(_owned(protocol, gateway, server, written))) is not None
    }
    hosts = tuple(host for host in server.hosts if protocol == "HTTP" or host not in older)
    return OpenServer(gateway, position, server, protocol, hosts, older=tuple(older.items()))


def _owned(protocol: str, gateway: Policy, server: Server, written: str) -> tuple[int, str]:
    """What two servers can't both have: an SNI has no namespace, routes by HTTP have."""
    host = _host(gateway, written) if protocol == "HTTPS" else written.lower()
    return server.port.number, host


def _host(gateway: Policy, written: str) -> str:
    return served_host(written, gateway.document.namespace)[1]


def served_host(written: str, gateway_namespace: str) -> tuple[str, str]:
    """A server's host as written -> (namespace of VirtualServices or `*` for any, host)."""
    namespace, slash, host = written.rpartition("/")
    if not slash:
        return "*", host.lower()
    return (gateway_namespace if namespace == "." else namespace), host.lower()
