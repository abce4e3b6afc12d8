"""Which NATS user may say and hear what: one user per role, each with the least it needs.

`server.py` writes the table into the server's configuration. NATS never tells a responder who
asked; what a role may ask is decided here, by subject. Notes that apply to the whole table:

- Replies: each role reads its own inbox only (`_INBOX.<role>.>`). Responders may answer what they
  were asked, `ANSWERS` times within `ANSWER_SECONDS` (a waiting apply is answered many times),
  which is tighter than a right to publish to every inbox.
- Proxies read single keys (direct get), no more: STREAM.MSG.GET, CONSUMER.CREATE and STREAM.INFO
  would show them the whole bucket.
- Nobody subscribes to `$KV.>`: it shows writes that the stream then refused.
"""

from dataclasses import dataclass
from enum import StrEnum

from tulle.bus import keys
from tulle.bus.credentials import inbox_prefix
from tulle.bus.subjects import Bucket, Subjects

ANSWERS = 1000
ANSWER_SECONDS = 660  # a waiting apply lasts up to 600 s


class Role(StrEnum):
    """The users of a mesh's NATS."""

    OPERATOR = "operator"
    EVALUATOR = "evaluator"
    SUPERVISOR = "supervisor"
    AUTHORITY = "authority"
    COLLECTOR = "collector"
    RUNNER = "runner"
    PROXY = "proxy"


@dataclass(frozen=True, slots=True)
class Rights:
    """Subjects, with wildcards, that a role may publish and subscribe to; `answers` what it got."""

    publish: tuple[str, ...]
    subscribe: tuple[str, ...]
    answers: bool = False


def rights(role: Role, subjects: Subjects) -> Rights:
    """What `role` may do in the mesh of `subjects`."""
    granted = _ROLES[role](subjects)
    inbox = f"{inbox_prefix(role.value)}.>"
    return Rights(granted.publish, (*granted.subscribe, inbox), granted.answers)


def _operator(subjects: Subjects) -> Rights:
    events = tuple(map(subjects.event_all, (Bucket.POLICIES, Bucket.CONFIG, Bucket.REGISTRY)))
    return Rights(
        publish=(subjects.api_policy_all, subjects.api_mesh_all),
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
            _get(subjects, Bucket.POLICIES, keys.EPOCH),
        ),
        subscribe=(
            subjects.api_workload_all,
            *asked,
            subjects.lease_all,
            subjects.status_all,
        ),
        answers=True,
    )


def _authority(subjects: Subjects) -> Rights:
    return Rights(
        publish=(subjects.trust(), _get(subjects, Bucket.REGISTRY, ">")),
        subscribe=(subjects.ca_sign_all,),
        answers=True,
    )


def _collector(subjects: Subjects) -> Rights:
    return Rights(
        publish=(subjects.proxy_command("all", "telemetry"),),
        subscribe=(subjects.telemetry_all,),
    )


def _runner(subjects: Subjects) -> Rights:
    return Rights(publish=(subjects.api_workload_all, subjects.lease_all), subscribe=())


def _proxy(subjects: Subjects) -> Rights:
    return Rights(
        publish=(
            subjects.ca_sign_all,
            subjects.status_all,
            subjects.telemetry_all,
            _get(subjects, Bucket.CONFIG, ">"),
            _get(subjects, Bucket.REGISTRY, ">"),
            _get(subjects, Bucket.POLICIES, keys.EPOCH),
        ),
        subscribe=(
            subjects.event_all(Bucket.CONFIG),
            subjects.event_all(Bucket.REGISTRY),
            subjects.heartbeat(),
            subjects.trust(),
            subjects.proxy_command_all,
        ),
        answers=True,
    )


_ROLES = {
    Role.OPERATOR: _operator,
    Role.EVALUATOR: _evaluator,
    Role.SUPERVISOR: _supervisor,
    Role.AUTHORITY: _authority,
    Role.COLLECTOR: _collector,
    Role.RUNNER: _runner,
    Role.PROXY: _proxy,
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
