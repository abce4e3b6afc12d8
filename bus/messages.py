"""What travels on NATS, as pydantic models: requests, answers, records of the registry, events.

What an operator keeps besides policies (credentials, runners) is in bus.keeping.

Each message has `v`; unknown fields are ignored and a higher major is refused (bus.codec).
Subjects and keys: bus.subjects.
"""

from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

WorkloadState = Literal["starting", "ready", "draining"]
Protocol = Literal["http", "tcp"]
UNKNOWN_NODE: Final = "unknown-node"
UNKNOWN_WORKLOAD: Final = "unknown-workload"


class Message(BaseModel):
    """The base of all messages: its format's major version."""

    model_config = ConfigDict(extra="ignore", frozen=True)
    v: int = 1


class Request(Message):
    """A request; `id` is unique per intent, and the same in a retry."""

    id: str = Field(min_length=1, max_length=128)


class ProblemRecord(Message):
    """A user's mistake, as policies.problems.Problem says it."""

    code: str
    severity: Literal["error", "warning"]
    path: str = ""
    file: str = ""
    line: int = 0
    message: str


class Revision(Message):
    """A revision of the mesh: numbers compare only within one epoch."""

    epoch: str
    number: int


class Answer(Message):
    """The answer to a request. A waiting apply gets several, the last with `done`."""

    id: str
    ok: bool
    problems: list[ProblemRecord] = []
    revision: Revision | None = None
    pending: list[str] = []  # ids of proxies that have not applied it yet
    changes: list[str] = []  # "created VirtualService default/reviews"
    done: bool = True


# -- api.policy.* ---------------------------------------------------------------------------


class PolicyFile(Message):
    """Policies as a user wrote them: YAML or JSON, one or many documents."""

    name: str
    text: str


class ApplyRequest(Request):
    """api.policy.apply: all documents or none. `wait_seconds` 0 does not wait for proxies."""

    files: list[PolicyFile]
    dry_run: bool = False
    wait_seconds: float = Field(default=0.0, ge=0, le=600)


class PolicyName(Message):
    """A policy's name."""

    kind: str
    namespace: str = "default"
    name: str


class DeleteRequest(Request):
    """api.policy.delete: by files (what they name) or by names."""

    files: list[PolicyFile] = []
    names: list[PolicyName] = []
    wait_seconds: float = Field(default=0.0, ge=0, le=600)


class GetRequest(Request):
    """api.policy.get (with a name) and api.policy.list; empty fields match all."""

    kind: str = ""
    namespace: str = ""
    name: str = ""


class PolicyRecord(Message):
    """A stored policy: the document's data as written and the revision that created it."""

    kind: str
    namespace: str
    name: str
    created: int
    data: dict[str, object]


class PoliciesAnswer(Answer):
    """The answer of api.policy.get and api.policy.list."""

    policies: list[PolicyRecord] = []


# -- the registry ---------------------------------------------------------------------------


class ServicePort(Message):
    """A port of a service."""

    number: int = Field(ge=1, le=65535)
    name: str = ""
    protocol: Protocol = "http"


class Workload(Message):
    """One running instance. `ports` maps a service port to the sidecar's inbound port."""

    id: str
    version: str = ""
    labels: dict[str, str] = {}
    account: str
    node: str = ""
    state: WorkloadState = "starting"
    address: str
    ports: dict[int, int] = {}


class ServiceRecord(Message):
    """Registry key `service.<ns>.<name>`: a service and all of its workloads, written as one.

    It stays when its last workload goes. `accounts` are those a client accepts (secure naming).
    Only workloads in state `ready` are endpoints.
    """

    namespace: str
    name: str
    ports: list[ServicePort] = []
    accounts: list[str] = []
    workloads: list[Workload] = []


# -- api.workload.*, lease.* ----------------------------------------------------------------


class PortMap(Message):
    """A port of a workload: the app's on loopback, the service's, the sidecar's held socket."""

    name: str = ""
    app: int
    service: int
    protocol: Protocol = "http"
    inbound: int


class StartRequest(Request):
    """api.workload.start.<ns>.<account>, from `tulle run`, which holds the sockets already.

    `holder` is the path of its unix socket, `outbound` the port of its explicit proxy listener,
    `credential_sha256` the hex digest of the proxy credential, `nodes` the Ray node ids whose
    node files it found. `workload`: the id of one that comes back (it was told
    `UNKNOWN_WORKLOAD`), empty for a new one.
    """

    service: str
    version: str = ""
    labels: dict[str, str] = {}
    ports: list[PortMap] = []
    address: str = "127.0.0.1"
    outbound: int
    holder: str
    credential_sha256: str
    nodes: list[str]
    workload: str = Field(default="", max_length=128)


class StartAnswer(Answer):
    """The workload's id, which is also its sidecar's proxy id."""

    workload: str = ""


class StopRequest(Request):
    """api.workload.stop.<ns>.<account>.

    `deregister`: no longer an endpoint; answered when all who hold the service know, 500 ms at
    most. `gone`: the app has ended; its sidecar is ended and the workload forgotten.
    """

    workload: str
    phase: Literal["deregister", "gone"]


class Lease(Message):
    """lease.<ns>.<account>.<workload>, every 2 s and at once on a change of `state`.

    Not answered, unless the workload is not known: then, where a reply is wanted, with an `Answer`
    that has the problem `UNKNOWN_WORKLOAD`.
    """

    workload: str
    state: WorkloadState


# -- desired --------------------------------------------------------------------------------


class PoolRecord(Message):
    """Desired key `pool.<name>`: how many members a pool has, who, and (gateways) their labels.

    `members` that are not among the first `replicas` are about to end. A gateway's is its proxy
    id, `ingress-ginbb`; the others are `evaluator-1`, `collector-2`.
    """

    name: str
    kind: Literal["gateway", "evaluator", "collector"] = "gateway"
    replicas: int = Field(ge=0, le=64)
    labels: dict[str, str] = {}
    members: list[str] = []


class DesiredWorkload(Message):
    """Desired key `workload.<id>`: all that is needed to spawn its sidecar again."""

    id: str
    namespace: str
    account: str
    request: StartRequest


# -- api.mesh.* -----------------------------------------------------------------------------


class ScaleRequest(Request):
    """api.mesh.scale: answered when the pool has that many serving members, or with a problem."""

    pool: str
    replicas: int = Field(ge=0, le=64)


class MeshRequest(Request):
    """api.mesh.status, services, workloads."""


class ProxyReport(Message):
    """A proxy as `tulle status` shows it; `current` is None while it is not known."""

    id: str
    role: Literal["sidecar", "gateway"]
    namespace: str = ""
    service: str = ""
    state: str
    revision: int
    current: bool | None
    listening: list[str] = []
    problems: list[str] = []
    seconds_since_report: float = 0.0


class StatusAnswer(Answer):
    """The answer of api.mesh.status."""

    leader: str = ""
    proxies: list[ProxyReport] = []


class ServicesAnswer(Answer):
    """The answer of api.mesh.services and api.mesh.workloads."""

    services: list[ServiceRecord] = []
    pools: list[PoolRecord] = []


# -- authority ------------------------------------------------------------------------------


class SignRequest(Request):
    """ca.sign.<ns>.<account>: a CSR (PEM) with the ticket that the supervisor made at spawn.

    A renewal with a new key has `previous`, the public key before (PEM), and `proof`, the CSR's
    text signed by it (ECDSA with SHA-256, base64).
    """

    ticket: str
    csr: str = Field(max_length=16_384)
    previous: str = Field(default="", max_length=2048)
    proof: str = Field(default="", max_length=1024)


class SignAnswer(Answer):
    """`chain`: leaf and intermediate, PEM; `roots`: PEM of all roots to trust."""

    chain: str = ""
    roots: str = ""


# -- events, status, telemetry --------------------------------------------------------------


class Heartbeat(Message):
    """event.heartbeat, each second from the writer of `bucket` (evaluator or supervisor leader).

    `changed`: keys committed in the last 15 s with their revision in that bucket. `revision`: of
    the mesh (policies), which all of `config` up to now reflects; 0 from the supervisor, which
    writes `registry` and `credentials` and sends one for each.
    """

    bucket: Literal["config", "registry", "credentials"]
    epoch: str
    leader: str
    revision: int = 0
    changed: dict[str, int] = {}


class ProxyStatus(Message):
    """status.proxy.<id>: what a proxy holds; sent at once after an install and every 2 s.

    `holds` maps `config/<key>` and `registry/<key>` to the installed revision of that bucket;
    `revision` is the newest mesh revision of which nothing that it holds is missing.
    """

    id: str
    role: Literal["sidecar", "gateway"]
    namespace: str = ""
    service: str = ""
    pool: str = ""
    state: Literal["starting", "ready", "draining"] = "starting"
    epoch: str = ""
    revision: int = 0
    holds: dict[str, int] = {}
    listening: list[str] = []  # "gateway:80 127.0.0.1:8080"
    problems: list[str] = []  # "port 81: address in use"
    started: float = 0.0


class Series(Message):
    """One series' absolute value: a counter's `value`, or a histogram's buckets and sum."""

    name: str
    labels: dict[str, str]
    value: float = 0.0  # a counter's value, a histogram's sum
    buckets: list[int] = []  # not cumulative, one more than the bounds (the last: +Inf)


class TelemetryBatch(Message):
    """telemetry.<shard>.<proxy>, each second: series that changed, absolute; `full`: all of them.

    `last`: the proxy ends; a request, answered by an empty message once it is saved.
    """

    proxy: str
    started: float
    full: bool = False
    last: bool = False
    series: list[Series] = []


class ShardSums(Message):
    """The answer to collect.sums.<shard>: what the proxies of a shard have counted, summed.

    `proxies`: how many live; `refused`: series above the limit.
    """

    proxies: int = 0
    refused: int = 0
    series: list[Series] = []
