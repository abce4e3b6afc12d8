"""Which servers of a pool's Gateways are really open: of two that exclude each other the older.

A port speaks HTTP or HTTPS, and an SNI host of an HTTPS port has one server. Counterparts:
`compile/gateway.py` opens what is found here, `validate.py` warns of what is not.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from tulle.policies.hostnames import HostTable
from tulle.policies.resolve import served_host, spec
from tulle.policies.resources.networking.gateway import Gateway, Server
from tulle.policies.world import Policy


@dataclass(frozen=True, slots=True)
class OpenServer:
    """A server of a Gateway and what it serves of its `hosts`, as written.

    `blocked_by` has opened the port with the other protocol: then it serves nothing. `lost` are
    the hosts that an older HTTPS server has, and whose that is.
    """

    gateway: Policy
    position: int
    server: Server
    protocol: Literal["HTTP", "HTTPS"]
    hosts: tuple[str, ...] = ()
    blocked_by: Policy | None = None
    lost: tuple[tuple[str, Policy], ...] = ()

    @property
    def redirects(self) -> bool:
        """Whether it sends every request to https."""
        tls = self.server.tls
        return self.protocol == "HTTP" and tls is not None and bool(tls.https_redirect)

    @property
    def sni_hosts(self) -> tuple[str, ...]:
        """The hosts without namespace, each once."""
        return tuple(dict.fromkeys(_host(self.gateway, written) for written in self.hosts))


def open_servers(gateways: Iterable[Policy]) -> tuple[OpenServer, ...]:
    """All servers of the Gateways of one pool, which are given the older first."""
    ports: dict[int, OpenServer] = {}
    owners: dict[tuple[int, str], OpenServer] = {}
    found: list[OpenServer] = []
    for gateway in gateways:
        for position, server in enumerate(spec(gateway, Gateway).servers):
            opened = _opened(OpenServer(gateway, position, server, _protocol(server)), ports, owners)
            ports.setdefault(server.port.number, opened)
            for host in opened.sni_hosts:
                owners.setdefault((server.port.number, host), opened)
            found.append(opened)
    return tuple(found)


def servers_by_host(servers: Iterable[OpenServer]) -> Mapping[int, HostTable[OpenServer]]:
    """By port: the server of a host; the most specific counts, of equal ones the older."""
    ports: dict[int, dict[str, OpenServer]] = {}
    for server in filter(lambda server: server.hosts, servers):
        hosts = ports.setdefault(server.server.port.number, {})
        for host in server.sni_hosts:
            hosts.setdefault(host, server)
    return {port: HostTable(hosts) for port, hosts in ports.items()}


def _opened(
    one: OpenServer,
    ports: Mapping[int, OpenServer],
    owners: Mapping[tuple[int, str], OpenServer],
) -> OpenServer:
    number = one.server.port.number
    first = ports.get(number)
    if first is not None and first.protocol != one.protocol:
        return OpenServer(one.gateway, one.position, one.server, one.protocol, (), first.gateway)
    lost: dict[str, Policy] = {}
    if one.protocol == "HTTPS":
        for written in one.server.hosts:
            owner = owners.get((number, _host(one.gateway, written)))
            if owner is not None:
                lost[written] = owner.gateway
    kept = tuple(written for written in one.server.hosts if written not in lost)
    return OpenServer(
        one.gateway, one.position, one.server, one.protocol, kept, None, tuple(lost.items())
    )


def _protocol(server: Server) -> Literal["HTTP", "HTTPS"]:
    return "HTTPS" if server.port.protocol.upper() == "HTTPS" else "HTTP"


def _host(gateway: Policy, written: str) -> str:
    return served_host(written, gateway.document.namespace)[1]
