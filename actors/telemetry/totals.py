"""What all proxies counted, summed: absolute values per life of a proxy in, sums over all out.

Pure. A proxy's life is (id, start time); its batches carry absolute values, so a lost one is
repaired by a later one, twice is harmless, and so is an old one that comes late. A life that has
ended stays in the sums, which therefore never fall; `remember` and `restore` carry them over a
restart of the collector (remembered.py).
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from tulle.actors.proxy.cells import REQUESTS
from tulle.bus.messages import Series, ShardSums, TelemetryBatch

MAX_SERIES = 25_000
"""Series of all proxies of a shard together; what is above is refused and counted."""
ENDED_AFTER = 3600.0
"""Seconds of silence, while others were heard, after which a life is over.

Proxies send all of it every 30 s. One that comes back after that long would be counted twice.
"""

REQUESTS_OF_PROXY = "tulle_requests_total"
ENDED = ""
"""What lives that have ended are called together, where they are remembered."""

Labels = tuple[tuple[str, str], ...]
SeriesKey = tuple[str, Labels]


@dataclass(frozen=True, slots=True)
class Value:
    """A counter's value, or a histogram's sum and buckets (not cumulative, the last: +Inf)."""

    value: float
    buckets: tuple[int, ...] = ()

    def __add__(self, other: "Value") -> "Value":
        long, short = sorted((self.buckets, other.buckets), key=len, reverse=True)
        buckets = tuple(
            count + (short[index] if index < len(short) else 0) for index, count in enumerate(long)
        )
        return Value(self.value + other.value, buckets)


@dataclass(slots=True)
class Life:
    """One life of a proxy: what it counted so far, and when it was heard last (`_clock`)."""

    started: float
    heard: float
    values: dict[SeriesKey, Value] = field(default_factory=dict)


class Totals:
    """Fed with batches; bounded in series."""

    def __init__(self, max_series: int = MAX_SERIES) -> None:
        self.refused = 0
        self._max_series = max_series
        self._count = 0
        self._lives: dict[str, Life] = {}
        self._ended: dict[SeriesKey, Value] = {}
        self._clock = 0.0  # seconds in which somebody was heard: silence of all is the bus's
        self._anybody = False
        self._time: float | None = None
        self.changes = 0  # rises with each batch that is taken

    @property
    def proxies(self) -> int:
        """How many proxies are alive, as far as is known."""
        return len(self._lives)

    def add(self, batch: TelemetryBatch) -> None:
        """Takes a batch. One of an earlier life than the known one is too late and dropped."""
        self._anybody = True
        life = self._lives.get(batch.proxy)
        if life is not None and batch.started < life.started:
            return
        if life is not None and batch.started > life.started:
            self._end(batch.proxy)
            life = None
        if life is None:
            life = self._lives[batch.proxy] = Life(batch.started, self._clock)
        life.heard = self._clock
        self.changes += 1
        for series in batch.series:
            self._set(life, series)

    def on_time(self, now: float) -> None:
        """Ends the lives that fell silent; to be called every few seconds, monotonic `now`."""
        if self._anybody and self._time is not None:
            self._clock += now - self._time
        self._time, self._anybody = now, False
        for proxy, life in list(self._lives.items()):
            if self._clock - life.heard >= ENDED_AFTER:
                self._end(proxy)

    def remember(self) -> Iterator[TelemetryBatch]:
        """All there is to know now, for `restore`; the lives that have ended together as `ENDED`.

        The iterator may be used in another thread.
        """
        kept = [(ENDED, 0.0, self._ended.copy())]
        kept += [(proxy, it.started, it.values.copy()) for proxy, it in self._lives.items()]
        return (
            TelemetryBatch(proxy=proxy, started=started, series=_series(values))
            for proxy, started, values in kept
        )

    def restore(self, batches: Iterable[TelemetryBatch]) -> None:
        """Takes what a collector before this one remembered, before anything else."""
        for batch in batches:
            if batch.proxy != ENDED:
                self.add(batch)
                continue
            values = {_key(series): _value(series) for series in batch.series}
            known = len(self._ended)
            _add_all(self._ended, values.items())
            self._count += len(self._ended) - known

    def sums(self) -> Iterator[tuple[SeriesKey, Value]]:
        """All series with their sums, sorted by name and labels."""
        sums = dict(self._ended)
        for life in self._lives.values():
            _add_all(sums, life.values.items())
        yield from sorted(sums.items(), key=lambda item: item[0])

    def of_proxies(self) -> Iterator[tuple[SeriesKey, Value]]:
        """How many requests each living proxy has handled, sorted; Istio's labels don't say."""
        for proxy, life in sorted(self._lives.items()):
            handled = sum(v.value for (name, _), v in life.values.items() if name == REQUESTS)
            yield (REQUESTS_OF_PROXY, (("proxy", proxy),)), Value(handled)

    def summary(self) -> ShardSums:
        """All sums, for the collector that answers `/metrics`."""
        series = _series(dict((*self.sums(), *self.of_proxies())))
        return ShardSums(proxies=self.proxies, refused=self.refused, series=series)

    def _set(self, life: Life, series: Series) -> None:
        key, value = _key(series), _value(series)
        known = life.values.get(key)
        if known is None:
            if self._count >= self._max_series:
                self.refused += 1
                return
            self._count += 1
        elif value.value < known.value:
            return  # within a life nothing falls: it was overtaken on its way
        life.values[key] = value

    def _end(self, proxy: str) -> None:
        life = self._lives.pop(proxy)
        known = len(self._ended)
        _add_all(self._ended, life.values.items())
        self._count += len(self._ended) - known - len(life.values)


def merged(parts: Iterable[ShardSums]) -> list[tuple[SeriesKey, Value]]:
    """The sums of all shards together, sorted by name and labels."""
    sums: dict[SeriesKey, Value] = {}
    for part in parts:
        _add_all(sums, ((_key(series), _value(series)) for series in part.series))
    return sorted(sums.items(), key=lambda item: item[0])


def _key(series: Series) -> SeriesKey:
    return (series.name, tuple(sorted(series.labels.items())))


def _value(series: Series) -> Value:
    return Value(series.value, tuple(series.buckets))


def _series(values: Mapping[SeriesKey, Value]) -> list[Series]:
    return [
        Series(name=name, labels=dict(labels), value=it.value, buckets=list(it.buckets))
        for (name, labels), it in values.items()
    ]


def _add_all(sums: dict[SeriesKey, Value], values: Iterable[tuple[SeriesKey, Value]]) -> None:
    for key, value in values:
        before = sums.get(key)
        sums[key] = value if before is None else before + value
