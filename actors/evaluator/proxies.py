"""The evaluator's table of proxies: what each says that it holds, kept from `status.proxy.<id>`.

Pure. Whoever was not heard for `GONE_AFTER` seconds has ended (or lost the bus, and will read all
it holds when it is back), and so has a sidecar whose workload left the registry; nobody waits for
it. When NATS was away for all, nobody has ended for that: who waits then waits for those before.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tulle.bus.messages import ProxyReport, ProxyStatus, ServiceRecord

GONE_AFTER = 6.0


@dataclass(frozen=True, slots=True)
class Heard:
    """A proxy's last status, and when it came, in monotonic seconds."""

    status: ProxyStatus
    when: float


class ProxyTable:
    """All proxies that were heard lately."""

    def __init__(self) -> None:
        self._heard: dict[str, Heard] = {}
        self._workloads: dict[tuple[str, str], frozenset[str]] = {}  # of each service
        self._ended: dict[str, float] = {}  # its last words may still arrive

    def on_status(self, status: ProxyStatus, now: float) -> None:
        """A status came. That of an earlier life of a proxy, overtaken, is ignored."""
        if status.id in self._ended:
            return
        before = self._heard.get(status.id)
        if before is None or status.started >= before.status.started:
            self._heard[status.id] = Heard(status, now)

    def on_service(self, service: ServiceRecord, now: float) -> None:
        """The registry has this record now: the sidecar of a workload that it had has ended."""
        name = (service.namespace, service.name)
        before = self._workloads.get(name, frozenset())
        self._workloads[name] = frozenset(workload.id for workload in service.workloads)
        for ended in before - self._workloads[name]:
            self._heard.pop(ended, None)
            self._ended[ended] = now
        for present in self._workloads[name]:
            self._ended.pop(present, None)

    def successor(self, now: float) -> "ProxyTable":
        """The table of a next life, on another start of the store: whoever was there may still
        be."""
        table = ProxyTable()
        table._heard, table._ended = dict(self._heard), dict(self._ended)
        table.on_return(now)
        return table

    def on_return(self, now: float) -> None:
        """Nobody could be heard until now: silence counts from here on."""
        self._heard = {proxy: Heard(heard.status, now) for proxy, heard in self._heard.items()}

    def on_time(self, now: float) -> None:
        """Forgets who has ended. Not to be called while nobody can be heard."""
        self._heard = {
            proxy: heard for proxy, heard in self._heard.items() if now - heard.when < GONE_AFTER
        }
        self._ended = {
            proxy: when for proxy, when in self._ended.items() if now - when < GONE_AFTER
        }

    def pending(self, changed: Mapping[str, int], epoch: str) -> list[str]:
        """Ids of the proxies that hold a key of `changed` (bucket config) at an older revision."""
        wanted = {f"config/{key}": revision for key, revision in changed.items()}
        return sorted(
            proxy
            for proxy, heard in self._heard.items()
            if heard.status.state != "draining" and _lacks(heard.status, wanted, epoch)
        )

    def problems(self, keys: Iterable[str]) -> list[tuple[str, str]]:
        """(proxy, problem) of all proxies that hold one of `keys`, for the answer to a wait."""
        held = {f"config/{key}" for key in keys}
        return [
            (proxy, problem)
            for proxy, heard in sorted(self._heard.items())
            if not held.isdisjoint(heard.status.holds)
            for problem in heard.status.problems
        ]

    def reports(self, newest: Mapping[str, int], epoch: str, now: float) -> list[ProxyReport]:
        """The table for `tulle status`. `newest`: all keys of bucket config; empty: not known."""
        wanted = {f"config/{key}": revision for key, revision in newest.items()}
        return [_report(heard, wanted, epoch, now) for _, heard in sorted(self._heard.items())]


def _lacks(status: ProxyStatus, wanted: Mapping[str, int], epoch: str) -> bool:
    held = [(key, revision) for key, revision in wanted.items() if key in status.holds]
    if not held:
        return False
    return status.epoch != epoch or any(status.holds[key] < revision for key, revision in held)


def _report(heard: Heard, wanted: Mapping[str, int], epoch: str, now: float) -> ProxyReport:
    status = heard.status
    known = bool(wanted) and any(key.startswith("config/") for key in status.holds)
    # Of a key that is not published any more the index tells, which is a key too.
    has_all = all(revision >= wanted.get(key, 0) for key, revision in status.holds.items())
    return ProxyReport(
        id=status.id,
        role=status.role,
        namespace=status.namespace,
        service=status.service,
        state=status.state,
        revision=status.revision,
        current=(status.epoch == epoch and has_all) if known else None,
        listening=status.listening,
        problems=status.problems,
        seconds_since_report=round(now - heard.when, 3),
    )
