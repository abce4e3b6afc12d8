"""Sums as Prometheus' text, under Istio's standard metric names. Pure.

Counterpart of `actors.proxy.cells`, which has the histogram's bounds.
"""

from collections.abc import Iterable, Iterator
from itertools import accumulate, groupby
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric

from tulle.actors.proxy import cells
from tulle.actors.proxy.cells import BOUNDS
from tulle.actors.telemetry.totals import REQUESTS_OF_PROXY, SeriesKey, Value

_HELP: Final = {
    cells.REQUESTS: "Requests that proxies handled.",
    cells.DURATION: "Durations of these requests, in milliseconds.",
    cells.REQUEST_BYTES: "Sizes of these requests, heads and bodies.",
    cells.RESPONSE_BYTES: "Sizes of their responses, heads and bodies.",
    cells.TCP_SENT: "Bytes that TCP clients got.",
    cells.TCP_RECEIVED: "Bytes that came from TCP clients.",
    cells.TCP_OPENED: "TCP connections that were opened.",
    cells.TCP_CLOSED: "TCP connections that were closed.",
    REQUESTS_OF_PROXY: "Requests that each proxy handled.",
    "tulle_telemetry_proxies": "Proxies that collectors hear of.",
    "tulle_telemetry_series_refused_total": "Series above the limit, which are in no sum.",
}
_BOUNDS: Final = (*(f"{bound:.15g}" for bound in BOUNDS), "+Inf")
"""As Envoy writes them: `0.5`, `1`, `3600000`."""


def render(sums: Iterable[tuple[SeriesKey, Value]], own: Iterable[tuple[str, float]] = ()) -> bytes:
    """The text; `sums` sorted by name, `own` are the collector's own counters."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Once([*_metrics(sums), *(_own(name, value) for name, value in own)]))
    return generate_latest(registry)


class _Once:
    """A collector, as prometheus_client means it, of metrics that are there already."""

    def __init__(self, metrics: list[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics


def _metrics(sums: Iterable[tuple[SeriesKey, Value]]) -> Iterator[Metric]:
    for name, series in groupby(sums, key=lambda item: item[0][0]):
        rows = list(series)
        yield _histogram(name, rows) if rows[0][1].buckets else _counter(name, rows)


def _counter(name: str, rows: list[tuple[SeriesKey, Value]]) -> Metric:
    base = name.removesuffix("_total")
    metric = Metric(base, _HELP.get(name, name), "counter")
    for (_, labels), value in rows:
        metric.add_sample(f"{base}_total", dict(labels), value.value)
    return metric


def _histogram(name: str, rows: list[tuple[SeriesKey, Value]]) -> Metric:
    metric = Metric(name, _HELP.get(name, name), "histogram")
    for (_, pairs), value in rows:
        labels = dict(pairs)
        for bound, count in zip(_BOUNDS, accumulate(value.buckets), strict=False):
            metric.add_sample(f"{name}_bucket", labels | {"le": bound}, count)
        metric.add_sample(f"{name}_count", labels, sum(value.buckets))
        metric.add_sample(f"{name}_sum", labels, value.value)
    return metric


def _own(name: str, value: float) -> Metric:
    kind = "counter" if name.endswith("_total") else "gauge"
    metric = Metric(name.removesuffix("_total"), _HELP.get(name, name), kind)
    metric.add_sample(name, {}, value)
    return metric
