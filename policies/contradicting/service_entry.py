"""What a ServiceEntry says and can't mean."""

from collections.abc import Iterable, Iterator, Mapping

from tulle.policies import hostnames
from tulle.policies.contradicting.common import duplicates, is_address, repeated_hosts
from tulle.policies.parse import Document
from tulle.policies.problems import Path, Problem, listed
from tulle.policies.resources.networking.service_entry import ServiceEntry


def service_entry(document: Document, entry: ServiceEntry) -> Iterator[Problem]:
    """Hosts, ports and endpoints, and what the resolution makes of them."""
    yield from repeated_hosts(document, ("spec", "hosts"), entry.hosts)
    ports = ("spec", "ports")
    if not entry.ports:
        yield document.problem("schema", ("spec",), "ports must have at least one port")
    yield from duplicates(document, ports, "name", "the port name", [p.name for p in entry.ports])
    numbers = [str(port.number) for port in entry.ports]
    yield from duplicates(document, ports, "number", "the port number", numbers)
    yield from _resolution(document, entry)
    known = {port.name for port in entry.ports}
    for position, endpoint in enumerate(entry.endpoints or ()):
        path = ("spec", "endpoints", position)
        if endpoint.address is not None:
            resolution = entry.resolution or "NONE"
            yield from _address(document, (*path, "address"), resolution, endpoint.address)
        yield from _endpoint_ports(document, (*path, "ports"), endpoint.ports, known)


def _resolution(document: Document, entry: ServiceEntry) -> Iterator[Problem]:
    resolution = entry.resolution or "NONE"
    if resolution == "STATIC" and not entry.endpoints and entry.workload_selector is None:
        yield document.problem("contradiction", ("spec",), "resolution STATIC needs endpoints")
    if resolution == "NONE" and entry.endpoints is not None:
        message = "resolution NONE (the default) can't have endpoints; use STATIC"
        yield document.problem("contradiction", ("spec", "endpoints"), message)
    if resolution == "DNS" and not entry.endpoints:
        for position, host in enumerate(entry.hosts):
            if hostnames.is_wildcard(host):
                message = f"{host} can't be resolved by DNS; name endpoints, or hosts without *"
                yield document.problem("contradiction", ("spec", "hosts", position), message)


def _address(document: Document, path: Path, resolution: str, address: str) -> Iterator[Problem]:
    if is_address(address):
        return
    if resolution == "STATIC":
        message = f"must be an IP address with resolution STATIC, not {address[:80]}"
        yield document.problem("contradiction", path, message)
    elif resolution == "DNS" and (hostnames.is_wildcard(address) or not hostnames.is_host(address)):
        message = f"must be an IP address or a DNS name with resolution DNS, not {address[:80]}"
        yield document.problem("contradiction", path, message)


def _endpoint_ports(
    document: Document, path: Path, ports: Mapping[str, int], known: Iterable[str]
) -> Iterator[Problem]:
    for name in ports:
        if name not in known:
            message = f"{name} is no port of this entry; its ports: {listed(sorted(known))}"
            yield document.problem("contradiction", (*path, name), message)
