"""Which endpoints there are: the registry's workloads and what configs write, each made once.

Endpoints and their connections outlive installs: a cluster that names the same one again gets the
same object. What no cluster names any more is retired: its requests finish, it keeps no connection.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final, Literal
from weakref import WeakSet

from tulle.actors.proxy import labels
from tulle.actors.proxy.cluster import Cluster, is_unencrypted_https
from tulle.actors.proxy.edge import Surroundings
from tulle.actors.proxy.material import Materials
from tulle.actors.proxy.names import Connect, NameDialer
from tulle.actors.proxy.origination import ClientContexts, OriginatingDialer
from tulle.actors.proxy.passthrough import Resolve
from tulle.actors.proxy.pool import Dialer, Endpoint
from tulle.bus.messages import ServiceRecord, Workload
from tulle.policies import config as configs
from tulle.policies.config import UpstreamTls

Security = Literal["plain", "mutual"] | UpstreamTls
Owner = tuple[str, ...]  # the config that brought clusters: ("outbound", host)


@dataclass(frozen=True, slots=True)
class _Key:
    """What makes two endpoints one: by value."""

    host: str
    address: str
    port: int
    security: Security
    labels: tuple[tuple[str, str], ...]  # of the destination, for metrics
    dns: bool = False  # the address is a name


class EndpointBook:
    """Gives clusters their endpoints, and keeps them up to date with the registry."""

    def __init__(
        self, around: Surroundings, plain: Connect, mesh: Connect, materials: Materials,
        resolve: Resolve,
    ) -> None:  # fmt: skip
        """`plain` and `mesh` connect; `materials` are for TLS of other kinds."""
        self._around = around
        self._plain = plain
        self._mesh = mesh
        self._contexts = ClientContexts(materials)
        self._resolve = resolve
        self._services: dict[str, ServiceRecord] = {}
        self._clusters: dict[Owner, dict[str, Cluster]] = {}
        self._replaced: WeakSet[Cluster] = WeakSet()  # requests that wait may hold on to them
        self._endpoints: dict[_Key, Endpoint] = {}
        self._source = labels.of_proxy("source", around.spec)

    def install(self, owner: Owner, clusters: Iterable[configs.Cluster]) -> dict[str, Cluster]:
        """The clusters of a config, by name, in place of those that it had before."""
        before = self._clusters.get(owner, {})
        made = {it.name: self._cluster(it, before.get(it.name)) for it in clusters}
        self._replaced.update(it for it in before.values() if made.get(it.config.name) is not it)
        self._clusters[owner] = made
        self._retire_unnamed()
        return made

    def remove(self, owner: Owner) -> None:
        """The config is gone."""
        if self._clusters.pop(owner, None) is not None:
            self._retire_unnamed()

    def install_service(self, record: ServiceRecord) -> None:
        """The workloads of a service: clusters of it have other endpoints from now on."""
        name = f"{record.namespace}/{record.name}"
        self._services[name] = record
        installed = (it for clusters in self._clusters.values() for it in clusters.values())
        for cluster in (*installed, *self._replaced):
            if cluster.config.service == name:
                self._fill(cluster)
        self._retire_unnamed()

    def install_identity(self) -> None:
        """Connections proved the old identity: idle ones close, the others after their request."""
        for key, endpoint in self._endpoints.items():
            if key.security == "mutual":
                endpoint.renew()

    def is_listener(self, address: str, port: int) -> bool:
        """Whether a proxy of the mesh listens there."""
        return any(
            workload.address == address and port in workload.ports.values()
            for record in self._services.values()
            for workload in record.workloads
        )

    def _cluster(self, config: configs.Cluster, before: Cluster | None) -> Cluster:
        if before is not None and before.config == config:
            return before  # goes on in its round
        recorder = self._around.stats.recorder(
            "source", self._source, labels.UNKNOWN_DESTINATION, labels.of_service(config)
        )
        cluster = Cluster(config, recorder, self._around.uniform)
        self._fill(cluster)
        return cluster

    def _fill(self, cluster: Cluster) -> None:
        """`mutual` only when all are: what is for peers of the mesh is never sent in plain text."""
        cluster.endpoints = self._find(cluster.config)
        cluster.mutual = all(endpoint.accounts for endpoint in cluster.endpoints)

    def _find(self, config: configs.Cluster) -> tuple[Endpoint, ...]:
        if config.broken or is_unencrypted_https(config):
            return ()
        if not config.service:
            return tuple(self._static(config, it) for it in config.endpoints)
        record = self._services.get(config.service)
        if record is None:
            return ()
        return tuple(
            self._workload(config, record, workload)
            for workload in record.workloads
            if workload.state == "ready"
            and config.port in workload.ports
            and _labelled(workload, config.labels)
        )

    def _static(self, config: configs.Cluster, endpoint: configs.StaticEndpoint) -> Endpoint:
        destination = labels.of_static(endpoint)
        # mTLS of the mesh, when a policy asks for it here, nobody can prove: it is refused.
        written = config.tls == "ISTIO_MUTUAL" and config.tls_written
        key = _Key(
            config.host,
            endpoint.address,
            endpoint.port,
            config.upstream_tls or ("mutual" if written else "plain"),
            tuple(destination.items()),
            config.dns and not is_address(endpoint.address),
        )
        return self._endpoint(key, config, destination, frozenset())

    def _workload(
        self, config: configs.Cluster, record: ServiceRecord, workload: Workload
    ) -> Endpoint:
        security = security_of(config, workload)
        mutual = security == "mutual"
        prefix = f"spiffe://{self._around.spec.trust_domain}/ns/{record.namespace}/sa/"
        principal = prefix + workload.account if mutual else labels.UNKNOWN
        destination = labels.of_workload(record.namespace, record.name, workload, principal)
        key = _Key(
            config.host,
            workload.address,
            workload.ports[config.port],
            security,
            (("id", workload.id), *destination.items()),
        )
        accounts = frozenset(prefix + account for account in record.accounts if mutual)
        return self._endpoint(key, config, destination, accounts)

    def _endpoint(
        self,
        key: _Key,
        config: configs.Cluster,
        destination: dict[str, str],
        accounts: frozenset[str],
    ) -> Endpoint:
        endpoint = self._endpoints.get(key)
        if endpoint is None:
            around = self._around
            endpoint = self._endpoints[key] = Endpoint(
                key.address,
                key.port,
                self._dialer(key),
                around.wheel,
                host=key.host,
                accounts=accounts,
                recorder=around.stats.recorder(
                    "source", self._source, destination, labels.of_service(config)
                ),
            )
        elif endpoint.accounts != accounts:
            if not endpoint.accounts <= accounts:
                endpoint.renew()  # who answers there may not be one of the service any more
            endpoint.accounts = accounts
        return endpoint

    def _dialer(self, key: _Key) -> Dialer:
        connect: Connect
        if isinstance(key.security, UpstreamTls):
            connect = OriginatingDialer(key.security, self._contexts)
        else:
            connect = self._mesh if key.security == "mutual" else self._plain
        return NameDialer(connect, self._resolve, self.is_listener) if key.dns else connect

    def _retire_unnamed(self) -> None:
        named = {
            endpoint
            for clusters in self._clusters.values()
            for cluster in clusters.values()
            for endpoint in cluster.endpoints
        }
        for key in [key for key, endpoint in self._endpoints.items() if endpoint not in named]:
            self._endpoints.pop(key).retire()


def security_of(config: configs.Cluster, workload: Workload) -> Security:
    """How a workload of the mesh is spoken to: mTLS, unless it or a DestinationRule asks else."""
    if config.upstream_tls is not None:
        return config.upstream_tls
    if config.tls == "DISABLE":
        return "plain"
    if config.tls_written:
        return "mutual"
    for mode in config.peer_modes:
        if mode.port in (0, config.port) and _labelled(workload, mode.labels):
            return "plain" if mode.mode == "DISABLE" else "mutual"
    return "mutual"


def is_address(host: str) -> bool:
    """Whether this is an IP address, not a name."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _labelled(workload: Workload, labels: configs.Labels) -> bool:
    """Whether the workload has all of `labels`: of a subset, or of a selector."""
    own = (
        workload.labels if not workload.version else {"version": workload.version} | workload.labels
    )
    return all(own.get(name) == value for name, value in labels)


IDLE_APP_SECONDS: Final = 4.0  # uvicorn and node close after 5


def app_endpoint(port: int, plain: Dialer, around: Surroundings) -> Endpoint:
    """The app of a sidecar, on loopback."""
    return Endpoint("127.0.0.1", port, plain, around.wheel, idle_seconds=IDLE_APP_SECONDS)
