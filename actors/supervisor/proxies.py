"""What proxies say that they hold (`status.proxy.<id>`): who knows of a change, who serves. Pure.

The supervisor asks two things: has everybody who holds a service's record heard that an endpoint
leaves it, and does a new member of a pool serve yet.
"""

from dataclasses import dataclass
from typing import Final

from tulle.bus.messages import ProxyStatus

GONE_AFTER_SECONDS: Final = 6.0


@dataclass(frozen=True, slots=True)
class _Heard:
    status: ProxyStatus
    at: float


class Proxies:
    """The last status of each proxy heard within `GONE_AFTER_SECONDS`."""

    def __init__(self) -> None:
        self._heard: dict[str, _Heard] = {}

    def heard(self, status: ProxyStatus, now: float) -> None:
        """A status came; one of an earlier life of the proxy, overtaken, is ignored."""
        before = self._heard.get(status.id)
        if before is None or status.started >= before.status.started:
            self._heard[status.id] = _Heard(status, now)

    def expire(self, now: float) -> None:
        """Forgets whom nobody heard lately."""
        limit = now - GONE_AFTER_SECONDS
        self._heard = {id: heard for id, heard in self._heard.items() if heard.at > limit}

    def forget(self, proxy: str) -> None:
        """The proxy is no more."""
        self._heard.pop(proxy, None)

    def lacking(self, key: str, revision: int) -> list[str]:
        """Who holds registry key `key`, at an older revision."""
        held = f"registry/{key}"
        return sorted(
            id for id, one in self._heard.items() if one.status.holds.get(held, revision) < revision
        )

    def serves(self, proxy: str) -> bool:
        """Whether a gateway is ready and listens."""
        heard = self._heard.get(proxy)
        return heard is not None and heard.status.state == "ready" and bool(heard.status.listening)

    def problems(self, proxy: str) -> list[str]:
        """What the proxy complains of."""
        heard = self._heard.get(proxy)
        return heard.status.problems if heard is not None else []
