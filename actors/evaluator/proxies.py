"""The evaluator's table of proxies: what each says that it holds, kept from `status.proxy.<id>`.

Pure. Whoever was not heard for `GONE_AFTER` seconds has ended (or lost the bus, and will read all
it holds when it is back); nobody waits for it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tulle.bus.messages import ProxyReport, ProxyStatus

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

    def on_status(self, status: ProxyStatus, now: float) -> None:
        """A status came. That of an earlier life of a proxy, overtaken, is ignored."""
        before = self._heard.get(status.id)
        if before is None or status.started >= before.status.started:
            self._heard[status.id] = Heard(status, now)

    def on_time(self, now: float) -> None:
        """Forgets who has ended."""
        self._heard = {
            proxy: heard for proxy, heard in self._heard.items() if now - heard.when < GONE_AFTER
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

    def reports(self, revision: int, epoch: str, now: float) -> list[ProxyReport]:
        """The table for `tulle status`. `revision`: what all config reflects, 0: not known."""
        return [_report(heard, revision, epoch, now) for _, heard in sorted(self._heard.items())]


def _lacks(status: ProxyStatus, wanted: Mapping[str, int], epoch: str) -> bool:
    held = [(key, revision) for key, revision in wanted.items() if key in status.holds]
    if not held:
        return False
    return status.epoch != epoch or any(status.holds[key] < revision for key, revision in held)


def _report(heard: Heard, revision: int, epoch: str, now: float) -> ProxyReport:
    status = heard.status
    known = revision > 0 and status.revision > 0
    return ProxyReport(
        id=status.id,
        role=status.role,
        namespace=status.namespace,
        service=status.service,
        state=status.state,
        revision=status.revision,
        current=(status.epoch == epoch and status.revision >= revision) if known else None,
        listening=status.listening,
        problems=status.problems,
        seconds_since_report=round(now - heard.when, 3),
    )
