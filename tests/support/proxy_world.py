"""A store and a bus in miniature, to try `ProxyMachine` on: events may get lost, replicas lag."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from tulle.actors.proxy.events import (
    Changed,
    Connected,
    Discard,
    Effect,
    Event,
    Heard,
    HostWanted,
    Install,
    Installable,
    Keep,
    Kept,
    Read,
    ReadFailed,
    Ref,
    RemoveCredential,
    RemoveOutbound,
    Restored,
    SendStatus,
    Subscribe,
    Tick,
    Unsubscribe,
    WasRead,
)
from tulle.actors.proxy.machine import ProxyMachine
from tulle.actors.proxy.needs import decode
from tulle.actors.proxy.spec import ProxySpec
from tulle.bus import codec, keys
from tulle.bus.keeping import CredentialRecord
from tulle.bus.messages import Heartbeat, ProxyStatus, ServiceRecord
from tulle.bus.subjects import Bucket
from tulle.policies import config as configs
from tulle.policies.config import (
    Cluster,
    Config,
    GatewayConfig,
    GatewayListener,
    HostEntry,
    HostsConfig,
    OutboundConfig,
    ServerTls,
)

Stored = tuple[bytes | None, int]


def sidecar_spec() -> ProxySpec:
    """A sidecar of `default/reviews`."""
    return ProxySpec(
        id="reviews-v1-abcde",
        mesh="test",
        role="sidecar",
        namespace="default",
        account="reviews",
        service="reviews",
        nats_url="",
        nats_credentials="",
        holder="",
        folder="",
        ticket="",
    )


def gateway_spec() -> ProxySpec:
    """A gateway of pool `ingress`."""
    return ProxySpec(
        id="ingress-abcde",
        mesh="test",
        role="gateway",
        namespace="istio-system",
        account="ingress",
        service="ingress",
        nats_url="",
        nats_credentials="",
        holder="",
        folder="",
        ticket="",
        pool="ingress",
    )


def host(name: str) -> str:
    """`reviews` as a host of the mesh."""
    return f"{name}.default.svc.cluster.local"


def hosts_config(*names: str) -> HostsConfig:
    """An index of the named services of namespace `default`."""
    return HostsConfig(
        hosts=tuple(HostEntry(host(name), "default", host(name)) for name in sorted(names))
    )


def cluster(service: str) -> Cluster:
    """The cluster of port 9080 of a service of namespace `default`."""
    name = f"outbound|9080||{host(service)}"
    return Cluster(name, host(service), 9080, service=f"default/{service}")


def outbound_config(name: str, *services: str) -> OutboundConfig:
    """The config of host `name`, with clusters of `services`."""
    return OutboundConfig(host(name), "default", (), tuple(map(cluster, services)))


def gateway_config(*services: str, credentials: tuple[str, ...] = ()) -> GatewayConfig:
    """The config of pool `ingress`, with clusters of `services`, HTTPS with `credentials`."""
    servers = tuple(ServerTls((f"{name}.example",), credential=name) for name in credentials)
    https = (GatewayListener(443, "HTTPS", (), servers),) if servers else ()
    return GatewayConfig("ingress", https, tuple(map(cluster, services)))


def config_ref(config: Config) -> Ref:
    """Where a config is stored."""
    parts = configs.key(config)
    return Ref(Bucket.CONFIG, str(keys.Key(keys.KeyKind(parts[0]), parts[1:])))


def service_ref(name: str) -> Ref:
    """Where a service of namespace `default` is stored."""
    return Ref(Bucket.REGISTRY, keys.service("default", name))


def credential_ref(name: str) -> Ref:
    """Where a credential is stored."""
    return Ref(Bucket.CREDENTIALS, keys.credential(name))


def ref_of(what: Installable) -> Ref:
    """Where a value is stored."""
    if isinstance(what, CredentialRecord):
        return credential_ref(what.name)
    return service_ref(what.name) if isinstance(what, ServiceRecord) else config_ref(what)


@dataclass
class ProxyWorld:
    """A machine with the store that it reads, and the plane that it fills.

    `losing`: events get lost. `lagging`: reads are answered from `replica`, a copy of the past.
    """

    machine: ProxyMachine
    now: float = 100.0
    epoch: str = "first"
    losing: bool = False
    lagging: bool = False
    failing: bool = False
    unreadable: set[Ref] = field(default_factory=set)
    store: dict[Ref, Stored] = field(default_factory=dict)
    replica: dict[Ref, Stored] = field(default_factory=dict)
    subscribed: set[Ref] = field(default_factory=set)
    reads: list[Ref] = field(default_factory=list)
    plane: dict[Ref, Installable] = field(default_factory=dict)
    statuses: list[ProxyStatus] = field(default_factory=list)
    installs: list[Ref] = field(default_factory=list)
    disk: dict[Ref, Keep] = field(default_factory=dict)
    _revision: dict[Bucket, int] = field(default_factory=dict)
    _changed: dict[Bucket, dict[str, tuple[int, float]]] = field(default_factory=dict)

    # The control plane.

    def put(self, what: Config | ServiceRecord) -> int:
        """Stores and republishes; returns the revision."""
        if isinstance(what, ServiceRecord):
            ref = Ref(Bucket.REGISTRY, keys.service(what.namespace, what.name))
            return self._write(ref, codec.encode(what))
        return self._write(config_ref(what), configs.encode(what))

    def put_service(self, name: str, *accounts: str) -> int:
        """Stores a service's record."""
        record = ServiceRecord(namespace="default", name=name, accounts=list(accounts))
        return self.put(record)

    def put_credential(self, name: str, key: str = "KEY") -> int:
        """Stores a credential."""
        record = CredentialRecord(name=name, certificate="CERTIFICATE", private_key=key)
        return self._write(credential_ref(name), codec.encode(record))

    def delete(self, ref: Ref) -> int:
        """Deletes and republishes."""
        return self._write(ref, None)

    def wipe(self, epoch: str) -> None:
        """The store is made anew, empty."""
        self.epoch = epoch
        for memory in (self.store, self.replica, self._revision, self._changed):
            memory.clear()

    def heartbeat(self, bucket: Bucket = Bucket.CONFIG) -> None:
        """The leader's heartbeat: what changed in the last 15 s."""
        changed = self._changed.get(bucket, {})
        recent = {key: rev for key, (rev, when) in changed.items() if when > self.now - 15}
        beat = Heartbeat(
            bucket=bucket.value,
            epoch=self.epoch,
            leader="evaluator-1",
            revision=1000 + self._revision.get(bucket, 0),
            changed=recent,
        )
        self.tell(Heard(beat))

    def catch_up(self) -> None:
        """The replica sees all that was stored."""
        self.replica = dict(self.store)

    # The proxy.

    def connect(self) -> None:
        """(Re)connects."""
        self.tell(Connected(self.epoch))

    def restart(self) -> None:
        """The proxy was killed; the next one has its disk, and no connection yet."""
        self.machine = ProxyMachine(self.machine.spec, started=self.now)
        for memory in (self.subscribed, self.plane):
            memory.clear()
        for said in (self.reads, self.installs, self.statuses):
            said.clear()
        self.tell(Restored(tuple(map(_kept, self.disk.values()))))

    def want(self, name: str) -> None:
        """A request for a service's host waits."""
        self.tell(HostWanted(host(name)))

    def advance(self, seconds: float) -> None:
        """Lets time pass, with a tick at each deadline."""
        end = self.now + seconds
        while self.machine.deadline() <= end:
            self.now = max(self.now, self.machine.deadline())
            self.tell(Tick())
        self.now = end

    def tell(self, event: Event) -> None:
        """Handles an event and performs its effects, reads answered at once."""
        pending = [event]
        while pending:
            effects = self.machine.handle(pending.pop(0), self.now)
            pending.extend(answer for effect in effects for answer in self._perform(effect))
            assert self.machine.validate() == []

    def _perform(self, effect: Effect) -> Iterator[Event]:
        match effect:
            case Subscribe(ref):
                assert ref not in self.subscribed
                self.subscribed.add(ref)
            case Unsubscribe(ref):
                self.subscribed.remove(ref)
            case Read(ref, number):
                assert ref in self.subscribed, "read before it was subscribed"
                yield self._answer(ref, number)
            case Install(what):
                ref = ref_of(what)
                self.plane[ref] = what
                self.installs.append(ref)
            case RemoveOutbound(name):
                self.plane.pop(Ref(Bucket.CONFIG, keys.outbound(name)), None)
            case RemoveCredential(name):
                self.plane.pop(credential_ref(name), None)
            case Keep(ref):
                self.disk[ref] = effect
            case Discard(ref):
                self.disk.pop(ref, None)
            case SendStatus(status):
                self.statuses.append(status)

    def _answer(self, ref: Ref, number: int) -> Event:
        self.reads.append(ref)
        if self.failing or ref in self.unreadable:
            return ReadFailed(ref, number)
        value, revision = (self.replica if self.lagging else self.store).get(ref, (None, 0))
        return WasRead(ref, number, value, revision)

    def _write(self, ref: Ref, value: bytes | None) -> int:
        previous = self.store.get(ref, (None, 0))[1]
        revision = self._revision.get(ref.bucket, 0) + 1
        self._revision[ref.bucket] = revision
        self.store[ref] = (value, revision)
        self._changed.setdefault(ref.bucket, {})[ref.key] = (revision, self.now)
        if not self.lagging:
            self.catch_up()
        if ref in self.subscribed and not self.losing:
            self.tell(Changed(ref, value, revision, previous))
        return revision


def _kept(entry: Keep) -> Kept:
    what = None if entry.value is None else decode(entry.ref, entry.value)
    return Kept(entry.ref, entry.epoch, entry.revision, what)


def new_world(spec: ProxySpec) -> ProxyWorld:
    """A world with a proxy that is not connected yet."""
    return ProxyWorld(ProxyMachine(spec, started=1.0))
