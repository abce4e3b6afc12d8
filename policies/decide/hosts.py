"""Which host of the mesh a client means: full names, short names, wildcards."""

from tulle.policies.config import HostEntry, HostsConfig
from tulle.policies.hostnames import HostTable

_REMEMBERED = 4096


class HostIndex:
    """The hosts config as seen from one namespace. `find` is on the path of every request.

    `reviews` is a service of the client's own namespace; `reviews.default`, `reviews.default.svc`
    and the full name are a service of any. A host that is exactly in the config comes first.
    """

    def __init__(
        self, config: HostsConfig, namespace: str, suffix: str = "svc.cluster.local"
    ) -> None:
        entries = {entry.host: entry for entry in config.hosts}
        names = dict(entries)
        for host, entry in entries.items():
            service = host.removesuffix(f".{suffix}")
            if service == host or service.count(".") != 1 or host.startswith("*"):
                continue
            name, _, own = service.partition(".")
            names.setdefault(service, entry)
            names.setdefault(f"{service}.svc", entry)
            if own == namespace:
                names.setdefault(name, entry)
        self._table = HostTable(names)
        self._remembered: dict[str, HostEntry | None] = {}

    def find(self, host: str) -> HostEntry | None:
        """The entry of `host` (lower case, no port); None: not a host of the mesh."""
        try:
            return self._remembered[host]
        except KeyError:
            found = self._table.find(host)
            # Hosts come from clients: what is remembered is bounded.
            if len(self._remembered) >= _REMEMBERED:
                self._remembered.clear()
            self._remembered[host] = found
            return found
