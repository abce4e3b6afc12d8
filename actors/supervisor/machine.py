"""What the supervisor knows of workloads that run, and which state each shall have. Pure.

Requests are planned elsewhere (admission, records, pools); here is what happens by itself: leases
come or stop coming, sidecars report that they leave, and the registry follows. A state is wanted
first and recorded when the registry has it: whatever makes the two differ, one effect mends it,
again and again if a write fails.
"""

from dataclasses import dataclass
from typing import Final

from tulle.actors.supervisor.leases import Leases
from tulle.bus.messages import ServiceRecord, WorkloadState

ServiceName = tuple[str, str]
"""Namespace and name."""


@dataclass(frozen=True, slots=True)
class Stored:
    """Event: the registry has this record now, by whomever it was changed."""

    service: ServiceRecord


@dataclass(frozen=True, slots=True)
class Leased:
    """Event: `tulle run` says that the workload lives, and in which state."""

    workload: str
    state: WorkloadState


@dataclass(frozen=True, slots=True)
class Reported:
    """Event: the workload's sidecar says that it lives."""

    workload: str


@dataclass(frozen=True, slots=True)
class Leaves:
    """Event: the workload was deregistered, or its sidecar drains: no lease brings it back."""

    workload: str


@dataclass(frozen=True, slots=True)
class Connected:
    """Event: the supervisor hears leases again."""


@dataclass(frozen=True, slots=True)
class Disconnected:
    """Event: the supervisor hears nobody."""


@dataclass(frozen=True, slots=True)
class Ticked:
    """Event: a second passed."""


@dataclass(frozen=True, slots=True)
class TurnFailed:
    """Event: the registry does not have the wanted state of the workload, or nobody knows."""

    workload: str


@dataclass(frozen=True, slots=True)
class Turn:
    """Effect: write the state that is wanted; answer with `Stored` or `TurnFailed`."""

    service: ServiceName
    workload: str


@dataclass(frozen=True, slots=True)
class CheckGone:
    """Effect: if the workload's proxy has ended for good, forget the workload."""

    workload: str


@dataclass(frozen=True, slots=True)
class Forget:
    """Effect: end the workload's proxy, forget the workload: nobody speaks for it any more."""

    workload: str


Event = Stored | Leased | Reported | Leaves | Connected | Disconnected | Ticked | TurnFailed
Effect = Turn | CheckGone | Forget

ABANDONED_SECONDS: Final = 30.0
"""Neither `tulle run` nor sidecar was heard for so long, e.g. since a mesh was started again."""


@dataclass(slots=True)
class _Known:
    service: ServiceName
    recorded: WorkloadState
    wanted: WorkloadState
    leaves: bool = False
    turning: bool = False  # a write is under way


class SupervisorMachine:
    """`handle(event, now)` gives the effects; `now` in seconds of a monotonic clock."""

    def __init__(self, now: float) -> None:
        self._known: dict[str, _Known] = {}
        self._members: dict[ServiceName, set[str]] = {}
        self._leases = Leases(now)
        self._reports = Leases(now)  # of sidecars, which judge nobody by themselves

    def wanted(self, workload: str) -> WorkloadState | None:
        """The state that the registry shall have; None: the workload is not known."""
        known = self._known.get(workload)
        return known.wanted if known is not None else None

    def service_of(self, workload: str) -> ServiceName | None:
        """The service of a workload that the registry has."""
        known = self._known.get(workload)
        return known.service if known is not None else None

    def handle(self, event: Event, now: float) -> list[Effect]:
        """The effects of `event`."""
        match event:
            case Stored(service):
                return self._stored(service, now)
            case Leased(workload, state):
                return self._leased(workload, state, now)
            case Reported(workload):
                if workload in self._known:
                    self._reports.heard(workload, now)
            case Leaves(workload):
                return self._leave(workload)
            case Connected():
                self._leases.connected(now)
                self._reports.connected(now)
            case Disconnected():
                self._leases.disconnected()
                self._reports.disconnected()
            case TurnFailed(workload):
                if (known := self._known.get(workload)) is not None:
                    known.turning = False
            case Ticked():
                return self._ticked(now)
        return []

    def validate(self) -> list[str]:
        """What must never be, said as sentences; empty when all is well."""
        members = [one for group in self._members.values() for one in group]
        return [
            *(f"{one} is of two services" for one in set(members) if members.count(one) > 1),
            *(f"{one} is in no service" for one in self._known.keys() - set(members)),
            *(f"{one} is not known" for one in set(members) - self._known.keys()),
            *(
                f"{one} leaves, yet {known.wanted} is wanted"
                for one, known in self._known.items()
                if known.leaves and known.wanted != "draining"
            ),
        ]

    def _stored(self, service: ServiceRecord, now: float) -> list[Effect]:
        name = (service.namespace, service.name)
        present = {workload.id: workload.state for workload in service.workloads}
        for gone in self._members.get(name, set()) - present.keys():
            del self._known[gone]
            self._leases.forget(gone)
            self._reports.forget(gone)
        self._members[name] = set(present)
        for one, state in present.items():
            if one not in self._known:
                self._leases.heard(one, now)
                self._reports.heard(one, now)
                self._known[one] = _Known(name, state, state)
            self._known[one].recorded = state
            self._known[one].turning = False
        return [effect for one in sorted(present) for effect in self._turn(one)]

    def _leased(self, workload: str, state: WorkloadState, now: float) -> list[Effect]:
        known = self._known.get(workload)
        if known is None:
            return []
        self._leases.heard(workload, now)
        if not known.leaves:
            known.wanted = state
        return self._turn(workload)

    def _leave(self, workload: str) -> list[Effect]:
        known = self._known.get(workload)
        if known is None:
            return []
        known.leaves, known.wanted = True, "draining"
        return self._turn(workload)

    def _ticked(self, now: float) -> list[Effect]:
        for name, members in self._members.items():
            endpoints = [one for one in members if self._known[one].recorded == "ready"]
            for silent in self._leases.to_remove("/".join(name), endpoints, now):
                self._known[silent].wanted = "draining"
        turns = [effect for one in sorted(self._known) for effect in self._turn(one)]
        ends = [effect for one in sorted(self._known) for effect in self._end(one, now)]
        return [*turns, *ends]

    def _end(self, workload: str, now: float) -> list[Effect]:
        silence = min(self._leases.silence(workload, now), self._reports.silence(workload, now))
        if silence >= ABANDONED_SECONDS:
            return [Forget(workload)]
        if self._known[workload].leaves or self._leases.silent(workload, now):
            return [CheckGone(workload)]
        return []

    def _turn(self, workload: str) -> list[Effect]:
        known = self._known[workload]
        if known.turning or known.wanted == known.recorded:
            return []
        known.turning = True
        return [Turn(known.service, workload)]
