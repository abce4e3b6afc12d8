"""What a Gateway says and can't mean."""

from collections.abc import Iterator

from tulle.policies import hostnames
from tulle.policies.contradicting.common import HOST_RULE, duplicates
from tulle.policies.contradicting.server_tls import server_tls
from tulle.policies.parse import Document
from tulle.policies.problems import Path, Problem
from tulle.policies.resources.meta import is_dns_label
from tulle.policies.resources.networking.gateway import Gateway, Server


def gateway(document: Document, gateway: Gateway) -> Iterator[Problem]:
    """Ports, hosts and TLS of all servers."""
    if not gateway.servers:
        yield document.problem("schema", ("spec",), "servers must have at least one server")
    seen: dict[tuple[int, str], Path] = {}
    for position, server in enumerate(gateway.servers):
        path = ("spec", "servers", position)
        if not 1 <= server.port.number <= 65535:
            message = "must be from 1 to 65535"
            yield document.problem("schema", (*path, "port", "number"), message)
        yield from _hosts(document, path, server, seen)
        yield from server_tls(document, path, server)
    yield from _two_protocols(document, gateway)
    ports = [server.port.name for server in gateway.servers]
    yield from duplicates(document, ("spec", "servers"), "port", "the port name", ports)


def _hosts(
    document: Document, path: Path, server: Server, seen: dict[tuple[int, str], Path]
) -> Iterator[Problem]:
    if not server.hosts:
        yield document.problem("schema", path, "hosts must name at least one host, or *")
    for number, host in enumerate(server.hosts):
        where = (*path, "hosts", number)
        yield from _server_host(document, where, host)
        first = seen.setdefault((server.port.number, host.lower()), where)
        if first != where:
            message = f"{host} is already served on port {server.port.number}"
            yield document.problem("duplicate", where, message)


def _server_host(document: Document, path: Path, written: str) -> Iterator[Problem]:
    namespace, slash, host = written.rpartition("/")
    namespace_ok = not slash or namespace in ("*", ".") or is_dns_label(namespace)
    if not namespace_ok or not hostnames.is_host(host):
        message = f"{HOST_RULE}, alone or after namespace/, ./ or */"
        yield document.problem("schema", path, message)


def _two_protocols(document: Document, gateway: Gateway) -> Iterator[Problem]:
    first: dict[int, str] = {}
    for position, server in enumerate(gateway.servers):
        protocol = server.port.protocol.upper()
        spoken = first.setdefault(server.port.number, protocol)
        if spoken != protocol:
            message = (
                f"port {server.port.number} can't be {spoken} for one server and {protocol} for "
                "another; give one of them another port"
            )
            path = ("spec", "servers", position, "port", "protocol")
            yield document.problem("contradiction", path, message)
