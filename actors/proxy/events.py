"""What the machine of a proxy is told (events) and what it asks for (effects), as values.

Events come from the shell, `actor.py`; effects go back to it from `machine.py` and `held.py`.
"""

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from tulle.bus.keeping import CredentialRecord
from tulle.bus.messages import Heartbeat, ProxyStatus, ServiceRecord
from tulle.bus.subjects import Bucket
from tulle.policies.config import GatewayConfig, HostsConfig, InboundConfig, OutboundConfig

Installable = (
    HostsConfig | OutboundConfig | InboundConfig | GatewayConfig | ServiceRecord | CredentialRecord
)
State = Literal["starting", "ready", "draining"]


class Ref(NamedTuple):
    """A key that a proxy may hold: of bucket `config`, `registry` or `credentials`."""

    bucket: Bucket
    key: str

    def __str__(self) -> str:
        """As in `ProxyStatus.holds`: `config/hosts`."""
        return f"{self.bucket.value}/{self.key}"


# -- events ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Kept:
    """What a proxy's own disk has of `ref` (last_good.py); `what` None: the key did not exist."""

    ref: Ref
    epoch: str
    revision: int
    what: Installable | None


@dataclass(frozen=True, slots=True)
class Restored:
    """A proxy that starts: what its last life had in use."""

    kept: tuple[Kept, ...]


@dataclass(frozen=True, slots=True)
class Connected:
    """The bus is connected, for the first time or again. `epoch` was read from the store."""

    epoch: str


@dataclass(frozen=True, slots=True)
class HostWanted:
    """A request waits for the config `outbound/<host>`."""

    host: str


@dataclass(frozen=True, slots=True)
class Changed:
    """The server republished a change of `ref`; `value` None: it was deleted.

    `previous` is the revision of the same key before it, 0 when there was none.
    """

    ref: Ref
    value: bytes | None
    revision: int
    previous: int


@dataclass(frozen=True, slots=True)
class WasRead:
    """The answer of the `Read` of that number; `revision` 0: the key was never written."""

    ref: Ref
    number: int
    value: bytes | None
    revision: int


@dataclass(frozen=True, slots=True)
class ReadFailed:
    """The `Read` of that number got no answer."""

    ref: Ref
    number: int


@dataclass(frozen=True, slots=True)
class Heard:
    """A leader's heartbeat."""

    heartbeat: Heartbeat


@dataclass(frozen=True, slots=True)
class Tick:
    """The time of `machine.deadline()` has come."""


@dataclass(frozen=True, slots=True)
class Reported:
    """The shell's own state, for `ProxyStatus`."""

    state: State
    listening: tuple[str, ...]
    problems: tuple[str, ...]


Event = Restored | Connected | HostWanted | Changed | WasRead | ReadFailed | Heard | Tick | Reported


# -- effects --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Subscribe:
    """Take the republished changes of `ref`; always before its first `Read`."""

    ref: Ref


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    """Changes of `ref` matter no more."""

    ref: Ref


@dataclass(frozen=True, slots=True)
class Read:
    """Read `ref` from the store and tell `WasRead` or `ReadFailed`, with the same number."""

    ref: Ref
    number: int


@dataclass(frozen=True, slots=True)
class Install:
    """Give a config, a service's endpoints or a credential to the plane."""

    what: Installable


@dataclass(frozen=True, slots=True)
class RemoveOutbound:
    """The mesh knows `host` no more."""

    host: str


@dataclass(frozen=True, slots=True)
class RemoveCredential:
    """The credential is gone, or no config names it any more."""

    name: str


@dataclass(frozen=True, slots=True)
class Keep:
    """Write `ref` to the proxy's own disk, for its next life; `value` None: it does not exist."""

    ref: Ref
    epoch: str
    revision: int
    value: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Discard:
    """End what `Keep` began."""

    ref: Ref


@dataclass(frozen=True, slots=True)
class SendStatus:
    """Publish what the proxy holds."""

    status: ProxyStatus


Effect = (
    Subscribe
    | Unsubscribe
    | Read
    | Install
    | RemoveOutbound
    | RemoveCredential
    | Keep
    | Discard
    | SendStatus
)
