"""hosts: every host of the mesh, so that a proxy knows what is not of the mesh without asking."""

from tulle.policies.config import HostEntry, HostsConfig
from tulle.policies.resolve import Index


def compile_hosts(index: Index) -> HostsConfig:
    """All hosts, sorted; each is served by the `outbound` config of its own name."""
    return HostsConfig(
        tuple(HostEntry(host, namespace, host) for host, namespace in index.hosts.items())
    )
