"""Every subject of a mesh is built and parsed here, and its buckets are named here.

The counterpart for the keys inside buckets is `keys.py`. All subjects start with `tulle.<mesh>.`;
texts from users become one escaped token (`keys.encode_token`), so a host with dots is one token.
The keys in `event.<bucket>.<key>` are keys already and stay as they are.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

from tulle.bus.keys import decode_token, encode_token

_MESH = re.compile(r"[A-Za-z0-9-]{1,32}")


class Bucket(StrEnum):
    """The buckets of a mesh."""

    POLICIES = "policies"
    CONFIG = "config"
    REGISTRY = "registry"
    DESIRED = "desired"
    CREDENTIALS = "credentials"


class Kind(StrEnum):
    """What a subject is for; the value is the fixed part of it after `tulle.<mesh>.`."""

    API_POLICY = "api.policy"
    API_WORKLOAD = "api.workload"
    API_MESH = "api.mesh"
    API_CREDENTIAL = "api.credential"
    API_RUNNER = "api.runner"
    EVENT_POLICIES = "event.policies"
    EVENT_CONFIG = "event.config"
    EVENT_REGISTRY = "event.registry"
    EVENT_CREDENTIALS = "event.credentials"
    HEARTBEAT = "event.heartbeat"
    TRUST = "event.trust"
    LEASE = "lease"
    CA_SIGN = "ca.sign"
    TELEMETRY = "telemetry"
    COLLECT = "collect"
    PROXY_COMMAND = "proxy"
    STATUS_PROXY = "status.proxy"


_EVENTS = {
    Kind.EVENT_POLICIES: Bucket.POLICIES,
    Kind.EVENT_CONFIG: Bucket.CONFIG,
    Kind.EVENT_REGISTRY: Bucket.REGISTRY,
    Kind.EVENT_CREDENTIALS: Bucket.CREDENTIALS,
}
_PARTS = {
    Kind.API_POLICY: 1,
    Kind.API_WORKLOAD: 3,
    Kind.API_MESH: 1,
    Kind.API_CREDENTIAL: 1,
    Kind.API_RUNNER: 1,
    Kind.HEARTBEAT: 0,
    Kind.TRUST: 0,
    Kind.LEASE: 3,
    Kind.CA_SIGN: 2,
    Kind.TELEMETRY: 2,
    Kind.COLLECT: 2,
    Kind.PROXY_COMMAND: 2,
    Kind.STATUS_PROXY: 1,
}


@dataclass(frozen=True, slots=True)
class Parsed:
    """A parsed subject: its kind and its parts, unescaped; an event's one part is the key."""

    kind: Kind
    parts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Subjects:
    """The subjects and buckets of one mesh. `mesh`: 1 to 32 letters, digits and hyphens."""

    mesh: str

    def __post_init__(self) -> None:
        if not _MESH.fullmatch(self.mesh):
            raise ValueError(
                f"{self.mesh!r} can't name a mesh: use 1 to 32 letters, digits and hyphens"
            )

    # What a client asks.

    def api_policy(self, verb: str) -> str:
        """`verb`: apply, delete, get, list. Answered by the leading evaluator."""
        return self._build(Kind.API_POLICY, verb)

    def api_workload(self, verb: str, namespace: str, account: str) -> str:
        """`verb`: start, stop. The subject says who asks, so permissions can. To the supervisor."""
        return self._build(Kind.API_WORKLOAD, verb, namespace, account)

    def api_mesh(self, verb: str) -> str:
        """`verb`: status (evaluator), services, workloads, scale (supervisor)."""
        return self._build(Kind.API_MESH, verb)

    def api_credential(self, verb: str) -> str:
        """`verb`: add, delete, list. Of gateways' certificates; answered by the supervisor."""
        return self._build(Kind.API_CREDENTIAL, verb)

    def api_runner(self, verb: str) -> str:
        """`verb`: add, remove, list. Of users for `tulle run`; answered by the supervisor."""
        return self._build(Kind.API_RUNNER, verb)

    def ca_sign(self, namespace: str, account: str) -> str:
        """A certificate request for one service account, to the authority."""
        return self._build(Kind.CA_SIGN, namespace, account)

    # What happened.

    def event(self, bucket: Bucket, key: str) -> str:
        """Where the server republishes a stored change of `key`, raw, in `bucket`."""
        return f"{self._root}event.{bucket.value}.{key}"

    def event_config(self, key: str) -> str:
        """A change of one compiled config, e.g. of key `outbound.<host>`."""
        return self.event(Bucket.CONFIG, key)

    def event_registry(self, key: str) -> str:
        """A change of one service's endpoints."""
        return self.event(Bucket.REGISTRY, key)

    def event_policies(self, key: str) -> str:
        """A change of one document, or a log record."""
        return self.event(Bucket.POLICIES, key)

    def heartbeat(self) -> str:
        """Each second from the leading evaluator: which keys changed lately."""
        return self._build(Kind.HEARTBEAT)

    def trust(self) -> str:
        """The authority's roots changed."""
        return self._build(Kind.TRUST)

    # What proxies and runners say, and what they are told.

    def lease(self, namespace: str, account: str, workload: str) -> str:
        """A workload's sign of life, judged by the supervisor; whose it is, permissions guard."""
        return self._build(Kind.LEASE, namespace, account, workload)

    def leases(self, namespace: str, account: str) -> str:
        """Those of all workloads of one service account."""
        return f"{self._build(Kind.LEASE, namespace, account)}.*"

    def telemetry(self, shard: str, proxy: str) -> str:
        """A proxy's figures, to the collector of that shard."""
        return self._build(Kind.TELEMETRY, shard, proxy)

    def telemetry_to(self, shard: str) -> str:
        """All proxies', to the collector of that shard."""
        return f"{self._root}{Kind.TELEMETRY.value}.{encode_token(shard)}.*"

    def telemetry_of(self, proxy: str) -> str:
        """One proxy's, to the collector of any shard."""
        return f"{self._root}{Kind.TELEMETRY.value}.*.{encode_token(proxy)}"

    def collect(self, verb: str, shard: str) -> str:
        """Among collectors, to who has the shard. `verb`: sums, give; or look, to all of them."""
        return self._build(Kind.COLLECT, verb, shard)

    def status_proxy(self, proxy: str) -> str:
        """What a proxy holds, and its acks."""
        return self._build(Kind.STATUS_PROXY, proxy)

    def proxy_command(self, proxy: str, command: str) -> str:
        """A command to one proxy, e.g. drain."""
        return self._build(Kind.PROXY_COMMAND, proxy, command)

    # Wildcards, for subscriptions and permissions.

    @property
    def api_policy_all(self) -> str:
        return self.all(Kind.API_POLICY)

    @property
    def api_workload_all(self) -> str:
        return self.all(Kind.API_WORKLOAD)

    @property
    def api_mesh_all(self) -> str:
        return self.all(Kind.API_MESH)

    @property
    def api_credential_all(self) -> str:
        return self.all(Kind.API_CREDENTIAL)

    @property
    def api_runner_all(self) -> str:
        return self.all(Kind.API_RUNNER)

    @property
    def ca_sign_all(self) -> str:
        return self.all(Kind.CA_SIGN)

    @property
    def lease_all(self) -> str:
        return self.all(Kind.LEASE)

    @property
    def telemetry_all(self) -> str:
        return self.all(Kind.TELEMETRY)

    @property
    def collect_all(self) -> str:
        return self.all(Kind.COLLECT)

    @property
    def status_all(self) -> str:
        return self.all(Kind.STATUS_PROXY)

    @property
    def proxy_command_all(self) -> str:
        return self.all(Kind.PROXY_COMMAND)

    def proxy_commands(self, proxy: str) -> str:
        """All commands to one proxy."""
        return f"{self._root}{Kind.PROXY_COMMAND.value}.{encode_token(proxy)}.*"

    def event_all(self, bucket: Bucket) -> str:
        """All changes of one bucket; for some of them say `event(CONFIG, "outbound.*")`."""
        return self.event(bucket, ">")

    def all(self, kind: Kind) -> str:
        """The wildcard for every subject of `kind`."""
        if kind in _EVENTS:
            return self.event_all(_EVENTS[kind])
        return f"{self._root}{kind.value}" + ".*" * _PARTS[kind]

    # Buckets.

    def bucket(self, bucket: Bucket) -> str:
        """The name of the KV bucket, `tulle_<mesh>_<bucket>`."""
        return f"tulle_{self.mesh}_{bucket.value}"

    def stream(self, bucket: Bucket) -> str:
        """The name of the stream that is the bucket."""
        return f"KV_{self.bucket(bucket)}"

    def value(self, bucket: Bucket, key: str) -> str:
        """The subject that a value of `key` is stored under; nobody subscribes to it."""
        return f"$KV.{self.bucket(bucket)}.{key}"

    def parse(self, subject: str) -> Parsed:
        """The parts of `subject`. Raises `ValueError` when no method of this value builds it."""
        tail = subject.removeprefix(self._root)
        if tail == subject:
            raise ValueError(f"{subject!r} is not a subject of mesh {self.mesh!r}")
        for kind in Kind:
            if tail == kind.value or tail.startswith(f"{kind.value}."):
                return _parsed(subject, kind, tail[len(kind.value) + 1 :])
        raise ValueError(f"{subject!r} is not a subject of tulle")

    @property
    def _root(self) -> str:
        return f"tulle.{self.mesh}."

    def _build(self, kind: Kind, *parts: str) -> str:
        return ".".join([f"{self._root}{kind.value}", *map(encode_token, parts)])


def _parsed(subject: str, kind: Kind, tail: str) -> Parsed:
    if kind in _EVENTS:
        if not tail:
            raise ValueError(f"{subject!r} lacks the key after {kind.value!r}")
        return Parsed(kind, (tail,))
    parts = tuple(map(decode_token, tail.split("."))) if tail else ()
    if len(parts) != _PARTS[kind]:
        raise ValueError(f"{subject!r} takes {_PARTS[kind]} parts after {kind.value!r}")
    return Parsed(kind, parts)
