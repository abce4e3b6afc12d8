"""Istio's request metrics: plain integers on objects found at install time.

A `Recorder` stands for all label values but response code and flags; the cells below it are what
is exported, as absolute values (actors.telemetry adds them up over proxies). Names, labels and
buckets: https://istio.io/latest/docs/reference/config/metrics/
"""

from bisect import bisect_left
from typing import Final, Literal

from tulle.actors.proxy.labels import UNKNOWN_DESTINATION, UNKNOWN_SERVICE, UNKNOWN_SOURCE
from tulle.bus.messages import Series

REQUESTS: Final = "istio_requests_total"
DURATION: Final = "istio_request_duration_milliseconds"
BOUNDS: Final = (
    0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 300_000,
    600_000, 1_800_000, 3_600_000,
)  # fmt: skip
SERIES_LIMIT: Final = 20_000  # cells of one proxy; what comes later is counted together

Reporter = Literal["source", "destination"]
LabelValues = tuple[tuple[str, str], ...]


class Cell:
    """The durations of the requests that ended with one response code and flag."""

    __slots__ = ("buckets", "labels", "reported", "total")

    def __init__(self, labels: dict[str, str]) -> None:
        self.labels = labels
        self.buckets = [0] * (len(BOUNDS) + 1)
        self.total = 0.0  # milliseconds
        self.reported = 0  # requests, at the last snapshot


class Recorder:
    """Counts requests that differ by response code and flags alone."""

    __slots__ = ("_cells", "_labels", "_stats")

    def __init__(self, stats: "Stats", labels: dict[str, str]) -> None:
        self._stats = stats
        self._labels = labels
        self._cells: dict[int | tuple[int, str], Cell] = {}

    def add(self, status: int, milliseconds: float) -> None:
        """Counts a request that the upstream answered with `status`."""
        cell = self._cells.get(status)
        if cell is None:
            cell = self._cells[status] = self._cell(status, "-")
        cell.buckets[bisect_left(BOUNDS, milliseconds)] += 1
        cell.total += milliseconds

    def add_flagged(self, status: int, flag: str, milliseconds: float) -> None:
        """Counts a request that ended otherwise; `status` 0: the client never saw one."""
        cell = self._cells.get((status, flag))
        if cell is None:
            cell = self._cells[(status, flag)] = self._cell(status, flag)
        cell.buckets[bisect_left(BOUNDS, milliseconds)] += 1
        cell.total += milliseconds

    def _cell(self, status: int, flag: str) -> Cell:
        return self._stats.cell(
            self._labels | {"response_code": str(status), "response_flags": flag}
        )


class Stats:
    """All recorders and cells of one proxy; equal labels share one."""

    __slots__ = ("_cells", "_recorders", "limit")

    def __init__(self, limit: int = SERIES_LIMIT) -> None:
        self.limit = limit
        self._recorders: dict[LabelValues, Recorder] = {}
        self._cells: dict[LabelValues, Cell] = {}

    def recorder(self, reporter: Reporter, *parts: dict[str, str]) -> Recorder:
        """The recorder of the labels in `parts`, made when it is not there yet."""
        labels: dict[str, str] = {"reporter": reporter, "request_protocol": "http"}
        labels["connection_security_policy"] = "unknown" if reporter == "source" else "mutual_tls"
        for part in parts:
            labels |= part
        key = tuple(sorted(labels.items()))
        recorder = self._recorders.get(key)
        if recorder is None:
            recorder = Recorder(self, labels)
            if len(self._recorders) < self.limit:
                self._recorders[key] = recorder
        return recorder

    def cell(self, labels: dict[str, str]) -> Cell:
        """The cell of `labels`; over the limit one cell for all that share reporter and code."""
        key = tuple(sorted(labels.items()))
        cell = self._cells.get(key)
        if cell is None and len(self._cells) >= self.limit:
            labels = (
                UNKNOWN_SOURCE
                | UNKNOWN_DESTINATION
                | UNKNOWN_SERVICE
                | {name: labels[name] for name in _KEPT_OVER_LIMIT if name in labels}
            )
            key = tuple(sorted(labels.items()))
            cell = self._cells.get(key)
        if cell is None:
            cell = self._cells[key] = Cell(labels)
        return cell

    def snapshot(self, changed_only: bool) -> list[Series]:
        """Absolute values, of the series that changed since the last snapshot or of all."""
        series: list[Series] = []
        for cell in self._cells.values():
            count = sum(cell.buckets)
            if changed_only and count == cell.reported:
                continue
            cell.reported = count
            series.append(Series(name=REQUESTS, labels=cell.labels, value=count))
            series.append(
                Series(
                    name=DURATION, labels=cell.labels, value=cell.total, buckets=list(cell.buckets)
                )
            )
        return series


_KEPT_OVER_LIMIT: Final = (
    "reporter",
    "request_protocol",
    "connection_security_policy",
    "response_code",
    "response_flags",
)
