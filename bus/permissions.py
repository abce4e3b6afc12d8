"""Which NATS user may say and hear what, each with the least it needs.

There is a user per role, per proxy and per runner; `issuer.py` writes what is decided here into
their JWTs. NATS never tells a responder who asked; what a user may ask is decided here, by subject.
Notes that apply to the whole table:

- Replies: each user reads its own inbox only (`_INBOX.<user>.>`). Responders may answer what they
  were asked, `ANSWERS` times within `ANSWER_SECONDS` (a waiting apply is answered many times),
  which is tighter than a right to publish to every inbox.
- Proxies read single keys (direct get) of their own, no more: STREAM.MSG.GET, CONSUMER.CREATE and
  STREAM.INFO would show them the whole bucket.
- Nobody subscribes to `$KV.>`: it shows writes that the stream then refused.
"""

from dataclasses import dataclass
from enum import StrEnum

from tulle.bus import keys
from tulle.bus.credentials import inbox_prefix
from tulle.bus.subjects import Bucket, Subjects

ANSWERS = 1000
ANSWER_SECONDS = 660  # a waiting apply lasts up to 600 s
COLLECTORS = "collectors"  # the pool of which a collector learns what is its share
ROOT_NAMESPACE = "istio-system"  # its inbound config is every proxy's


class Role(StrEnum):
    """The users that a mesh's NATS always has; `RUNNER` is the one that may start all."""

    OPERATOR = "operator"
    EVALUATOR = "evaluator"
    SUPERVISOR = "supervisor"
    AUTHORITY = "authority"
    COLLECTOR = "collector"
    RUNNER = "runner"


@dataclass(frozen=True, slots=True)
class Rights:
    """Subjects, with wildcards, that a user may publish and subscribe to; `answers` what it got."""

    publish: tuple[str, ...]
    subscribe: tuple[str, ...]
    answers: bool = False


@dataclass(frozen=True, slots=True)
class ProxyUser:
    """The user of one proxy; one with a `pool` is a gateway."""

    id: str
    namespace: str
    account: str
    pool: str = ""

    @property
    def name(self) -> str:
        return f"proxy-{self.id}"


@dataclass(frozen=True, slots=True)
class RunnerUser:
    """A user that may start workloads of one service account, and keep them alive."""

    runner: str
    namespace: str
    account: str

    @property
    def name(self) -> str:
        return f"runner-{self.runner}"


def rights(user: Role | ProxyUser | RunnerUser, subjects: Subjects) -> Rights:
    """What `user` may do in the mesh of `subjects`."""
    match user:
        case Role():
            return _with_inbox(user.value, _ROLES[user](subjects))
        case ProxyUser():
            return _with_inbox(user.name, _proxy(user, subjects))
        case RunnerUser():
            return _with_inbox(user.name, _one_account(user, subjects))


def _with_inbox(name: str, granted: Rights) -> Rights:
    inbox = f"{inbox_prefix(name)}.>"
    return Rights(granted.publish, (*granted.subscribe, inbox), granted.answers)


def _operator(subjects: Subjects) -> Rights:
    events = tuple(map(subjects.event_all, (Bucket.POLICIES, Bucket.CONFIG, Bucket.REGISTRY)))
    return Rights(
        publish=(
            subjects.api_policy_all,
            subjects.api_mesh_all,
            subjects.api_credential_all,
            subjects.api_runner_all,
        ),
        subscribe=(*events, subjects.heartbeat(), subjects.trust()),
    )


def _evaluator(subjects: Subjects) -> Rights:
    return Rights(
        publish=(
            subjects.heartbeat(),
            *_write(subjects, Bucket.POLICIES),
            *_write(subjects, Bucket.CONFIG),
            *_read(subjects, Bucket.REGISTRY),
        ),
        subscribe=(subjects.api_policy_all, subjects.api_mesh("status"), subjects.status_all),
        answers=True,
    )


def _supervisor(subjects: Subjects) -> Rights:
    asked = tuple(map(subjects.api_mesh, ("scale", "services", "workloads")))
    return Rights(
        publish=(
            subjects.heartbeat(),
            subjects.proxy_command_all,
            *_write(subjects, Bucket.REGISTRY),
            *_write(subjects, Bucket.DESIRED),
            *_write(subjects, Bucket.CREDENTIALS),
            _get(subjects, Bucket.POLICIES, keys.EPOCH),
        ),
        subscribe=(
            subjects.api_workload_all,
            subjects.api_credential_all,
            subjects.api_runner_all,
            *asked,
            subjects.lease_all,
            subjects.status_all,
        ),
        answers=True,
    )


def _authority(subjects: Subjects) -> Rights:
    return Rights(
        publish=(
            subjects.trust(),
            _get(subjects, Bucket.DESIRED, f"{keys.KeyKind.WORKLOAD.value}.*"),
            _get(subjects, Bucket.DESIRED, f"{keys.KeyKind.POOL.value}.*"),
        ),
        subscribe=(subjects.ca_sign_all,),
        answers=True,
    )


def _collector(subjects: Subjects) -> Rights:
    return Rights(
        publish=(
            subjects.proxy_command("all", "telemetry"),
            subjects.collect_all,
            _get(subjects, Bucket.DESIRED, keys.pool(COLLECTORS)),
        ),
        subscribe=(subjects.telemetry_all, subjects.collect_all),
        answers=True,  # to last words, and to one another
    )


def _runner(subjects: Subjects) -> Rights:
    return Rights(publish=(subjects.api_workload_all, subjects.lease_all), subscribe=())


def _one_account(runner: RunnerUser, subjects: Subjects) -> Rights:
    who = (runner.namespace, runner.account)
    verbs = (subjects.api_workload(verb, *who) for verb in ("start", "stop"))
    return Rights(publish=(*verbs, subjects.leases(*who)), subscribe=())


def _proxy(proxy: ProxyUser, subjects: Subjects) -> Rights:
    held = _config_keys(proxy)
    service = f"{keys.KeyKind.SERVICE.value}.>"
    credential = (f"{keys.KeyKind.CREDENTIAL.value}.*",) if proxy.pool else ()
    return Rights(
        publish=(
            subjects.ca_sign(proxy.namespace, proxy.account),
            subjects.status_proxy(proxy.id),
            subjects.telemetry_of(proxy.id),
            *(_get(subjects, Bucket.CONFIG, key) for key in held),
            _get(subjects, Bucket.REGISTRY, service),
            _get(subjects, Bucket.POLICIES, keys.EPOCH),
            *(_get(subjects, Bucket.CREDENTIALS, key) for key in credential),
        ),
        subscribe=(
            *(subjects.event_config(key) for key in held),
            subjects.event_registry(service),
            *(subjects.event(Bucket.CREDENTIALS, key) for key in credential),
            subjects.heartbeat(),
            subjects.trust(),
            subjects.proxy_commands(proxy.id),
            subjects.proxy_commands("all"),
        ),
    )


def _config_keys(proxy: ProxyUser) -> tuple[str, ...]:
    """The keys of bucket `config` that the proxy may hold, with wildcards."""
    inbound = dict.fromkeys((proxy.namespace, ROOT_NAMESPACE))
    return (
        keys.HOSTS,
        f"{keys.KeyKind.OUTBOUND.value}.*",
        *map(keys.inbound, inbound),
        *((keys.gateway(proxy.pool),) if proxy.pool else ()),
    )


_ROLES = {
    Role.OPERATOR: _operator,
    Role.EVALUATOR: _evaluator,
    Role.SUPERVISOR: _supervisor,
    Role.AUTHORITY: _authority,
    Role.COLLECTOR: _collector,
    Role.RUNNER: _runner,
}


def _get(subjects: Subjects, bucket: Bucket, key: str) -> str:
    """A direct get of one key, the key being in the subject."""
    return f"$JS.API.DIRECT.GET.{subjects.stream(bucket)}.{subjects.value(bucket, key)}"


def _read(subjects: Subjects, bucket: Bucket) -> tuple[str, ...]:
    """All that a `Store` needs for get, get_all and watch."""
    stream = subjects.stream(bucket)
    return (
        _get(subjects, bucket, ">"),
        f"$JS.API.DIRECT.GET.{stream}",
        f"$JS.API.STREAM.INFO.{stream}",
        f"$JS.API.CONSUMER.CREATE.{stream}.>",
        f"$JS.API.CONSUMER.DELETE.{stream}.*",
        f"$JS.FC.{stream}.>",
    )


def _write(subjects: Subjects, bucket: Bucket) -> tuple[str, ...]:
    """All that a `Store` needs, its making too."""
    return (
        subjects.value(bucket, ">"),
        f"$JS.API.STREAM.CREATE.{subjects.stream(bucket)}",
        *_read(subjects, bucket),
    )
