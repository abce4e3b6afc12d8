"""Which endpoints there are: the registry's workloads and what configs write, each made once.

Endpoints and their connections outlive installs: a cluster that names the same one again gets the
same object. What no cluster names any more is retired: its requests finish, it keeps no connection.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from weakref import WeakSet, WeakValueDictionary

from tulle.actors.proxy import labels
from tulle.actors.proxy.cluster import Cluster, LimitedCluster, is_unencrypted_https
from tulle.actors.proxy.edge import Surroundings
from tulle.actors.proxy.ejection import Ejection
from tulle.actors.proxy.limits import LimitedEndpoint, Limits
from tulle.actors.proxy.pool import Dialer, Endpoint
from tulle.actors.proxy.security import Dialers, Security, is_address, labelled, security_of
from tulle.bus.messages import ServiceRecord, Workload
from tulle.policies import config as configs

Owner = tuple[str, ...]  # the config that brought clusters: ("outbound", host)


@dataclass(frozen=True, slots=True)
class _Key:
    """What makes two endpoints one: by value."""

    host: str
    address: str
    port: int
    security: Security
    labels: tuple[tuple[str, str], ...]  # of the destination, for metrics
    owner: str = ""  # the name of the cluster that has it for itself: see `_owner`
    limited: bool = False
    dns: bool = False  # the address is a name


class EndpointBook:
    """Gives clusters their endpoints, and keeps them up to date with the registry."""

    def __init__(self, around: Surroundings, dialers: Dialers) -> None:
        self._around = around
        self._dialers = dialers
        self._services: dict[str, ServiceRecord] = {}
        self._clusters: dict[Owner, dict[str, Cluster]] = {}
        self._replaced: WeakSet[Cluster] = WeakSet()  # requests that wait may hold on to them
        self._endpoints: dict[_Key, Endpoint] = {}
        # By cluster name; they live as long as a cluster or a request that knows them.
        self._ejections: WeakValueDictionary[str, Ejection] = WeakValueDictionary()
        self._limits: WeakValueDictionary[str, Limits] = WeakValueDictionary()
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
        ejection, limits = self._ejection(config), self._limits_of(config)
        make = Cluster if limits is None else LimitedCluster
        cluster = make(config, recorder, self._around.uniform, ejection, limits)
        self._fill(cluster)
        return cluster

    def _fill(self, cluster: Cluster) -> None:
        """`mutual` only when all are: what is for peers of the mesh is never sent in plain text."""
        cluster.endpoints = self._find(cluster.config)
        cluster.mutual = all(endpoint.accounts for endpoint in cluster.endpoints)

    def _ejection(self, config: configs.Cluster) -> Ejection:
        """Which endpoints of the cluster are ejected, known from before if there was one."""
        ejection = self._ejections.get(config.name)
        if ejection is None:
            ejection = self._ejections[config.name] = Ejection(self._around.wheel)
        ejection.outlier = config.outlier or configs.DEFAULT_OUTLIER
        return ejection

    def _limits_of(self, config: configs.Cluster) -> Limits | None:
        """What the cluster counts, known from before if there was one."""
        if config.limits is None:
            return None
        limits = self._limits.get(config.name)
        if limits is None:
            limits = self._limits[config.name] = Limits(config.limits)
        elif limits.config != config.limits:
            limits.replace(config.limits)
        return limits

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
            and labelled(workload, config.labels)
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
            *_owner(config),
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
            *_owner(config),
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
            endpoint = self._endpoints[key] = self._make(key, config, destination, accounts)
        elif endpoint.accounts != accounts:
            if not endpoint.accounts <= accounts:
                endpoint.renew()  # who answers there may not be one of the service any more
            endpoint.accounts = accounts
        if isinstance(endpoint, LimitedEndpoint):
            endpoint.set_times()
        return endpoint

    def _make(
        self,
        key: _Key,
        config: configs.Cluster,
        destination: dict[str, str],
        accounts: frozenset[str],
    ) -> Endpoint:
        around = self._around
        dial = self._dialers.of(key.security, key.dns, self.is_listener)
        recorder = around.stats.recorder(
            "source", self._source, destination, labels.of_service(config)
        )
        where = key.address, key.port, dial, around.wheel
        if key.limited:
            limits = self._limits[config.name]
            return LimitedEndpoint(
                *where, limits, host=key.host, accounts=accounts, recorder=recorder
            )
        return Endpoint(*where, host=key.host, accounts=accounts, recorder=recorder)

    def _retire_unnamed(self) -> None:
        named = {
            endpoint
            for clusters in self._clusters.values()
            for cluster in clusters.values()
            for endpoint in cluster.endpoints
        }
        for key in [key for key, endpoint in self._endpoints.items() if endpoint not in named]:
            self._endpoints.pop(key).retire()


def _owner(config: configs.Cluster) -> tuple[str, bool]:
    """Clusters with a connectionPool or outlierDetection have endpoints of their own, as in Envoy:
    then what an endpoint counts is the cluster's. All others share."""
    own = config.limits is not None or config.outlier is not None
    return (config.name if own else "", config.limits is not None)


IDLE_APP_SECONDS: Final = 4.0  # uvicorn and node close after 5


def app_endpoint(port: int, plain: Dialer, around: Surroundings) -> Endpoint:
    """The app of a sidecar, on loopback."""
    return Endpoint("127.0.0.1", port, plain, around.wheel, idle_seconds=IDLE_APP_SECONDS)
