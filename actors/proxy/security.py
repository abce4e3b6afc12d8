"""How endpoints are spoken to: plain, mTLS of the mesh, or TLS that the proxy originates.

Counterparts: endpoints.py, which asks for each endpoint; dial.py, origination.py and names.py,
whose dialers are given out here.
"""

from collections.abc import Callable
from ipaddress import ip_address
from typing import Literal

from tulle.actors.proxy.material import Materials
from tulle.actors.proxy.names import Connect, NameDialer
from tulle.actors.proxy.origination import ClientContexts, OriginatingDialer
from tulle.actors.proxy.passthrough import Resolve
from tulle.actors.proxy.pool import Dialer
from tulle.bus.messages import Workload
from tulle.policies.config import Cluster, Labels, UpstreamTls

Security = Literal["plain", "mutual"] | UpstreamTls


class Dialers:
    """Of one proxy. `plain` and `mesh` connect; `materials` are for TLS of other kinds."""

    def __init__(
        self, plain: Connect, mesh: Connect, materials: Materials, resolve: Resolve
    ) -> None:
        self._plain = plain
        self._mesh = mesh
        self._contexts = ClientContexts(materials)
        self._resolve = resolve

    def of(
        self, security: Security, is_name: bool, is_listener: Callable[[str, int], bool]
    ) -> Dialer:
        """For one endpoint; `is_name`: its address is to be looked up."""
        connect: Connect
        if isinstance(security, UpstreamTls):
            connect = OriginatingDialer(security, self._contexts)
        else:
            connect = self._mesh if security == "mutual" else self._plain
        return NameDialer(connect, self._resolve, is_listener) if is_name else connect


def security_of(config: Cluster, workload: Workload) -> Security:
    """Of a workload of the mesh: mTLS, unless it or a DestinationRule asks for something else."""
    if config.upstream_tls is not None:
        return config.upstream_tls
    if config.tls == "DISABLE":
        return "plain"
    if config.tls_written:
        return "mutual"
    for mode in config.peer_modes:
        if mode.port in (0, config.port) and labelled(workload, mode.labels):
            return "plain" if mode.mode == "DISABLE" else "mutual"
    return "mutual"


def labelled(workload: Workload, labels: Labels) -> bool:
    """Whether the workload has all of `labels`: of a subset, or of a selector."""
    own = (
        workload.labels if not workload.version else {"version": workload.version} | workload.labels
    )
    return all(own.get(name) == value for name, value in labels)


def is_address(host: str) -> bool:
    """Whether this is an IP address, not a name."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
