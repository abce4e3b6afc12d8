"""Istio's standard metrics as plain integers: a cell is all that is exported under one label set.

Names and buckets: https://istio.io/latest/docs/reference/config/metrics/; recorders (stats.py)
count into cells, actors.telemetry adds them up over proxies.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Final, Generic, TypeVar

from tulle.actors.proxy.labels import UNKNOWN_DESTINATION, UNKNOWN_SERVICE, UNKNOWN_SOURCE
from tulle.bus.messages import Series

REQUESTS: Final = "istio_requests_total"
DURATION: Final = "istio_request_duration_milliseconds"
REQUEST_BYTES: Final = "istio_request_bytes"
RESPONSE_BYTES: Final = "istio_response_bytes"
TCP_SENT: Final = "istio_tcp_sent_bytes_total"
TCP_RECEIVED: Final = "istio_tcp_received_bytes_total"
TCP_OPENED: Final = "istio_tcp_connections_opened_total"
TCP_CLOSED: Final = "istio_tcp_connections_closed_total"
BOUNDS: Final = (
    0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 300_000,
    600_000, 1_800_000, 3_600_000,
)  # fmt: skip
"""Of all histograms, milliseconds and bytes alike, as Envoy has them."""

Labels = dict[str, str]
LabelValues = tuple[tuple[str, str], ...]


class Counted(ABC):
    """What is exported under `labels`."""

    __slots__ = ("labels", "reported")

    def __init__(self, labels: Labels) -> None:
        self.labels = labels
        self.reported = 0  # what `happened` was at the last snapshot

    @abstractmethod
    def happened(self) -> int:
        """A number that rises with everything that is counted."""

    @abstractmethod
    def series(self) -> Iterator[Series]:
        """The absolute values."""


class Cell(Counted):
    """Requests that ended with one response code and flag: their durations and sizes."""

    __slots__ = (
        "durations",
        "milliseconds",
        "request_bytes",
        "request_sizes",
        "response_bytes",
        "response_sizes",
    )

    def __init__(self, labels: Labels) -> None:
        super().__init__(labels)
        self.durations = [0] * (len(BOUNDS) + 1)  # requests in each bucket
        self.request_sizes = self.durations.copy()
        self.response_sizes = self.durations.copy()
        self.milliseconds = 0.0  # sums
        self.request_bytes = 0
        self.response_bytes = 0

    def happened(self) -> int:
        return sum(self.durations)

    def series(self) -> Iterator[Series]:
        yield Series(name=REQUESTS, labels=self.labels, value=sum(self.durations))
        for name, total, buckets in (
            (DURATION, self.milliseconds, self.durations),
            (REQUEST_BYTES, self.request_bytes, self.request_sizes),
            (RESPONSE_BYTES, self.response_bytes, self.response_sizes),
        ):
            yield Series(name=name, labels=self.labels, value=total, buckets=list(buckets))


class TcpCell(Counted):
    """TCP connections that ended with one flag, or have not ended."""

    __slots__ = ("closed", "opened", "received", "sent")

    def __init__(self, labels: Labels) -> None:
        super().__init__(labels)
        self.opened = 0
        self.closed = 0
        self.sent = 0
        self.received = 0

    def happened(self) -> int:
        return self.opened + self.closed + self.sent + self.received

    def series(self) -> Iterator[Series]:
        for name, value in (
            (TCP_OPENED, self.opened),
            (TCP_CLOSED, self.closed),
            (TCP_SENT, self.sent),
            (TCP_RECEIVED, self.received),
        ):
            yield Series(name=name, labels=self.labels, value=value)


C = TypeVar("C", bound=Counted)


class Cells(Generic[C]):
    """Cells by their labels: `limit` of them, and those that take what is too much together."""

    __slots__ = ("_cells", "_limit", "_make")

    def __init__(self, make: Callable[[Labels], C], limit: int) -> None:
        self._make = make
        self._limit = limit
        self._cells: dict[LabelValues, C] = {}

    def of(self, labels: Labels) -> C:
        """The cell of `labels`; over the limit one cell for all that share reporter and code."""
        key = key_of(labels)
        cell = self._cells.get(key)
        if cell is None and len(self._cells) >= self._limit:
            labels = _together(labels)
            key = key_of(labels)
            cell = self._cells.get(key)
        if cell is None:
            cell = self._cells[key] = self._make(labels)
        return cell

    def __iter__(self) -> Iterator[C]:
        return iter(self._cells.values())


_KEPT_OVER_LIMIT: Final = (
    "reporter",
    "request_protocol",
    "connection_security_policy",
    "response_code",
    "response_flags",
    "grpc_response_status",
)


def key_of(labels: Labels) -> LabelValues:
    """Labels as a key: equal ones are equal, whatever their order."""
    return tuple(sorted(labels.items()))


def _together(labels: Labels) -> Labels:
    """Of labels that are one set too many: what many have in common."""
    kept = {name: labels[name] for name in _KEPT_OVER_LIMIT if name in labels}
    return UNKNOWN_SOURCE | UNKNOWN_DESTINATION | UNKNOWN_SERVICE | kept
