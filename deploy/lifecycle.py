"""The life of an app under `tulle run`, decided without touching anything.

`run.py` feeds events, one at a time, and performs the effects in their order. The order at the
end is the point of it: peers stop choosing the workload, requests under way are answered, only
then the app is told, and its way out stays open until its whole process group is gone.

    waiting --SidecarReady--> up --Signal--> deregistering --Deregistered--> draining --Drained-->
    ending --AppExited--> sweeping --GroupGone--> gone          (AppExited: from `up` on, at once)
"""

import signal
from dataclasses import dataclass
from enum import StrEnum

from tulle.bus.messages import WorkloadState

ENDING = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGQUIT})
FAILURES_ALLOWED = 3  # a ready app that fails so many checks in a row is no endpoint any more


class Phase(StrEnum):
    """Where in its life the app is."""

    WAITING = "waiting"
    UP = "up"
    DEREGISTERING = "deregistering"
    DRAINING = "draining"
    ENDING = "ending"
    SWEEPING = "sweeping"
    GONE = "gone"


# Events.


@dataclass(frozen=True, slots=True)
class SidecarReady:
    """The sidecar holds certificate and config, and listens."""


@dataclass(frozen=True, slots=True)
class Probed:
    """A check of the app: does it accept on its ports, does it answer that it is well?"""

    healthy: bool


@dataclass(frozen=True, slots=True)
class Signal:
    """This process got a signal."""

    number: int


@dataclass(frozen=True, slots=True)
class Deregistered:
    """Nobody who knows the service picks this workload any more, or the time for it is up."""


@dataclass(frozen=True, slots=True)
class Drained:
    """No request from peers is under way, or the time for it is up."""


@dataclass(frozen=True, slots=True)
class AppExited:
    """`status` as a shell says it: 128 + n after signal n."""

    status: int


@dataclass(frozen=True, slots=True)
class GroupGone:
    """Nothing of the app's process group is left."""


Event = SidecarReady | Probed | Signal | Deregistered | Drained | AppExited | GroupGone


# Effects.


@dataclass(frozen=True, slots=True)
class StartApp:
    """Start the app and its checks."""


@dataclass(frozen=True, slots=True)
class Say:
    """Tell the mesh the workload's state, now and with each lease."""

    state: WorkloadState


@dataclass(frozen=True, slots=True)
class Deregister:
    """Ask for it; then comes `Deregistered`."""


@dataclass(frozen=True, slots=True)
class DrainInbound:
    """Ask for it; then comes `Drained`."""


@dataclass(frozen=True, slots=True)
class SendSignal:
    """To the app's process group."""

    number: int


@dataclass(frozen=True, slots=True)
class EndApp:
    """Send `number` to the group; SIGKILL if it has not exited when the time for it is up."""

    number: int


@dataclass(frozen=True, slots=True)
class SweepGroup:
    """End what the app left in its process group; then comes `GroupGone`."""


@dataclass(frozen=True, slots=True)
class Leave:
    """The workload is forgotten and `tulle run` exits with `status`."""

    status: int


Effect = StartApp | Say | Deregister | DrainInbound | SendSignal | EndApp | SweepGroup | Leave


class Lifecycle:
    """The state machine. `serves`: the app has ports; without, peers need not be told."""

    def __init__(self, *, serves: bool) -> None:
        self.phase = Phase.WAITING
        self.state: WorkloadState = "starting"
        self._serves = serves
        self._failures = 0
        self._ending_with: int = signal.SIGTERM
        self._status = 0

    def handle(self, event: Event) -> list[Effect]:
        """What `event` asks for, to be performed in order."""
        if self.phase is Phase.GONE:
            return []
        match event:
            case SidecarReady() if self.phase is Phase.WAITING:
                return self._start()
            case Probed(healthy) if self.phase is Phase.UP:
                return self._probed(healthy)
            case Signal(number):
                return self._signalled(number)
            case Deregistered() if self.phase is Phase.DEREGISTERING:
                self.phase = Phase.DRAINING
                return [DrainInbound()]
            case Drained() if self.phase is Phase.DRAINING:
                return self._end()
            case AppExited(status) if self.phase is not Phase.WAITING:
                return self._exited(status)
            case GroupGone() if self.phase is Phase.SWEEPING:
                return self._leave(self._status)
        return []

    def _start(self) -> list[Effect]:
        self.phase = Phase.UP
        if self._serves:
            return [StartApp()]
        return [StartApp(), *self._say("ready")]

    def _probed(self, healthy: bool) -> list[Effect]:
        if not self._serves:
            return []
        self._failures = 0 if healthy else self._failures + 1
        if healthy:
            return self._say("ready")
        return self._say("starting") if self._failures >= FAILURES_ALLOWED else []

    def _signalled(self, number: int) -> list[Effect]:
        if self.phase is Phase.WAITING:
            return self._leave(128 + number) if number in ENDING else []
        if number not in ENDING or self.phase in (Phase.ENDING, Phase.SWEEPING):
            return [SendSignal(number)]
        if self.phase is Phase.UP:
            self._ending_with = number
            if not self._serves:
                return self._end()
            self.phase = Phase.DEREGISTERING
            return [*self._say("draining"), Deregister()]
        return self._end()  # asked a second time: no more patience

    def _end(self) -> list[Effect]:
        self.phase = Phase.ENDING
        return [EndApp(self._ending_with)]

    def _exited(self, status: int) -> list[Effect]:
        if self.phase is Phase.SWEEPING:
            return []
        on_its_own = self.phase is Phase.UP
        self.phase, self._status = Phase.SWEEPING, status
        return [*(self._say("draining") if on_its_own else []), SweepGroup()]

    def _leave(self, status: int) -> list[Effect]:
        self.phase = Phase.GONE
        return [Leave(status)]

    def _say(self, state: WorkloadState) -> list[Effect]:
        if state == self.state:
            return []
        self.state = state
        return [Say(state)]
