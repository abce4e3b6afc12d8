"""Istio's standard metrics, counted: recorders are found at install time and add plain integers.

A `Recorder` stands for all label values but response code and flags; the cells below it (cells.py)
are what is exported, as absolute values. Labels:
https://istio.io/latest/docs/reference/config/metrics/
"""

from bisect import bisect_left
from collections.abc import Iterator
from typing import Final, Literal

from tulle.actors.proxy.cells import (
    BOUNDS,
    Cell,
    Cells,
    Counted,
    Labels,
    LabelValues,
    TcpCell,
    key_of,
)
from tulle.actors.proxy.labels import UNKNOWN, name_clusters
from tulle.bus.messages import Series

SERIES_LIMIT: Final = 20_000  # cells of one proxy; what comes later is counted together

Reporter = Literal["source", "destination"]
NO_FLAG: Final = "-"


class Recorder:
    """Counts requests that differ by response code and flags alone."""

    __slots__ = ("_cells", "_labels", "_stats")

    def __init__(self, stats: "Stats", labels: Labels) -> None:
        self._stats = stats
        self._labels = labels
        self._cells: dict[int | tuple[int, str], Cell] = {}

    @property
    def labels(self) -> Labels:
        """What it stands for."""
        return dict(self._labels)

    def add(
        self, status: int, milliseconds: float, request_bytes: int, response_bytes: int
    ) -> None:
        """Counts a request that the upstream answered with `status`.

        Bytes: of heads and bodies, without the framing of chunks.
        """
        cell = self._cells.get(status)
        if cell is None:
            cell = self._cells[status] = self._cell(status, NO_FLAG)
        # `_add`, written out: a call would cost as much as one of its histograms.
        cell.durations[bisect_left(BOUNDS, milliseconds)] += 1
        cell.milliseconds += milliseconds
        cell.request_sizes[bisect_left(BOUNDS, request_bytes)] += 1
        cell.request_bytes += request_bytes
        cell.response_sizes[bisect_left(BOUNDS, response_bytes)] += 1
        cell.response_bytes += response_bytes

    def add_flagged(
        self,
        status: int,
        flag: str,
        milliseconds: float,
        request_bytes: int = 0,
        response_bytes: int = 0,
    ) -> None:
        """Counts a request that ended otherwise; `status` 0: the client never saw one."""
        cell = self._cells.get((status, flag))
        if cell is None:
            cell = self._cells[(status, flag)] = self._cell(status, flag)
        cell.durations[bisect_left(BOUNDS, milliseconds)] += 1
        cell.milliseconds += milliseconds
        cell.request_sizes[bisect_left(BOUNDS, request_bytes)] += 1
        cell.request_bytes += request_bytes
        cell.response_sizes[bisect_left(BOUNDS, response_bytes)] += 1
        cell.response_bytes += response_bytes

    def _cell(self, status: int, flag: str) -> Cell:
        ended = {"response_code": str(status), "response_flags": flag}
        return self._stats.cells.of(self._labels | ended | {"grpc_response_status": ""})


class TcpRecorder:
    """Counts TCP connections as they go on: what is counted is reported within a second.

    `sent` and `received` are to be called for every piece, as Istio means them: seen from the
    client's side, `sent` is what the client gets (the response), `received` what comes from it.
    """

    __slots__ = ("_cell", "_labels", "_stats")

    def __init__(self, stats: "Stats", labels: Labels) -> None:
        self._stats = stats
        self._labels = labels
        self._cell = stats.tcp_cells.of(labels | {"response_flags": NO_FLAG})

    def opened(self) -> None:
        """A client's connection was accepted for this destination."""
        self._cell.opened += 1

    def sent(self, count: int) -> None:
        """`count` bytes more to the client."""
        self._cell.sent += count

    def received(self, count: int) -> None:
        """`count` bytes more from the client."""
        self._cell.received += count

    def closed(self, flag: str = NO_FLAG) -> None:
        """A connection that was `opened` is gone; `flag` says why, if not by its ends."""
        if flag == NO_FLAG:
            self._cell.closed += 1
        else:
            self._stats.tcp_cells.of(self._labels | {"response_flags": flag}).closed += 1


class NoRecorder(Recorder):
    """Counts nothing: what telemetry costs is measured against it."""

    __slots__ = ()

    def add(
        self, status: int, milliseconds: float, request_bytes: int, response_bytes: int
    ) -> None:
        """Forgets it."""

    def add_flagged(
        self,
        status: int,
        flag: str,
        milliseconds: float,
        request_bytes: int = 0,
        response_bytes: int = 0,
    ) -> None:
        """Forgets it."""


class NoTcpRecorder(TcpRecorder):
    """Counts nothing, as above."""

    __slots__ = ()

    def opened(self) -> None:
        """Forgets it."""

    def sent(self, count: int) -> None:
        """Forgets it."""

    def received(self, count: int) -> None:
        """Forgets it."""

    def closed(self, flag: str = NO_FLAG) -> None:
        """Forgets it."""


class Stats:
    """All recorders and cells of one proxy; equal labels share one.

    `mesh` is what Istio calls the cluster. Not `counting`: its recorders count nothing.
    """

    __slots__ = (
        "_limit",
        "_make",
        "_make_tcp",
        "_mesh",
        "_recorders",
        "_tcp_recorders",
        "cells",
        "tcp_cells",
    )

    def __init__(
        self, limit: int = SERIES_LIMIT, *, mesh: str = UNKNOWN, counting: bool = True
    ) -> None:
        self._mesh = mesh
        self._make = Recorder if counting else NoRecorder
        self._make_tcp = TcpRecorder if counting else NoTcpRecorder
        self._limit = limit
        self._recorders: dict[LabelValues, Recorder] = {}
        self._tcp_recorders: dict[LabelValues, TcpRecorder] = {}
        self.cells = Cells(Cell, limit)
        self.tcp_cells = Cells(TcpCell, limit)

    def recorder(self, reporter: Reporter, *parts: Labels) -> Recorder:
        """The recorder of the labels in `parts`, made when it is not there yet."""
        labels = name_clusters(_joined(reporter, "http", parts), self._mesh)
        key = key_of(labels)
        recorder = self._recorders.get(key)
        if recorder is None:
            recorder = self._make(self, labels)
            if len(self._recorders) < self._limit:
                self._recorders[key] = recorder
        return recorder

    def tcp_recorder(self, reporter: Reporter, *parts: Labels) -> TcpRecorder:
        """The same for TCP connections."""
        labels = name_clusters(_joined(reporter, "tcp", parts), self._mesh)
        key = key_of(labels)
        recorder = self._tcp_recorders.get(key)
        if recorder is None:
            recorder = self._make_tcp(self, labels)
            if len(self._tcp_recorders) < self._limit:
                self._tcp_recorders[key] = recorder
        return recorder

    def snapshot(self, changed_only: bool) -> list[Series]:
        """Absolute values, of the series that changed since the last snapshot, or of all
        in which anything happened."""
        series: list[Series] = []
        for cell in self._all():
            happened = cell.happened()
            if not happened or (changed_only and happened == cell.reported):
                continue
            cell.reported = happened
            series.extend(cell.series())
        return series

    def _all(self) -> Iterator[Counted]:
        yield from self.cells
        yield from self.tcp_cells


def _joined(reporter: Reporter, protocol: str, parts: tuple[Labels, ...]) -> Labels:
    labels: Labels = {"reporter": reporter, "request_protocol": protocol}
    labels["connection_security_policy"] = "unknown" if reporter == "source" else "mutual_tls"
    for part in parts:
        labels |= part
    return labels
