"""Counters and histograms."""

from tulle.actors.proxy.stats import BOUNDS, Stats
from tulle.bus.messages import Series


def by_name(series: list[Series]) -> dict[tuple[str, str, str], Series]:
    return {(s.name, s.labels["response_code"], s.labels["response_flags"]): s for s in series}


def test_requests_and_durations() -> None:
    stats = Stats()
    recorder = stats.recorder("source", {"destination_service": "a"})
    for milliseconds in (0.1, 0.5, 0.6, 3_600_001):
        recorder.add(200, milliseconds)
    recorder.add_flagged(503, "UF", 7)
    series = by_name(stats.snapshot(False))
    assert series["istio_requests_total", "200", "-"].value == 4
    durations = series["istio_request_duration_milliseconds", "200", "-"]
    assert durations.value == 3_600_002.2
    assert len(durations.buckets) == len(BOUNDS) + 1
    assert (durations.buckets[:2], durations.buckets[-1]) == ([2, 1], 1)
    assert series["istio_requests_total", "503", "UF"].value == 1
    labels = series["istio_requests_total", "503", "UF"].labels
    assert labels["reporter"] == "source"
    assert labels["connection_security_policy"] == "unknown"
    assert labels["destination_service"] == "a"


def test_only_what_changed_and_always_absolute() -> None:
    stats = Stats()
    recorder = stats.recorder("destination", {})
    recorder.add(200, 1)
    recorder.add(404, 1)
    assert len(stats.snapshot(True)) == 4
    assert stats.snapshot(True) == []
    recorder.add(200, 1)
    assert {s.value for s in stats.snapshot(True) if s.name == "istio_requests_total"} == {2}
    assert len(stats.snapshot(False)) == 4


def test_equal_labels_are_one_recorder() -> None:
    stats = Stats()
    assert stats.recorder("source", {"a": "1"}, {"b": "2"}) is stats.recorder(
        "source", {"b": "2"}, {"a": "1"}
    )


def test_over_the_limit_requests_are_counted_together() -> None:
    stats = Stats(limit=10)
    for n in range(100):
        stats.recorder("destination", {"source_workload": f"w{n}"}).add(200, 1)
    series = by_name(stats.snapshot(False))
    total = [s for s in stats.snapshot(False) if s.name == "istio_requests_total"]
    assert len(total) == 11
    assert sum(s.value for s in total) == 100
    assert series["istio_requests_total", "200", "-"].labels["source_workload"] == "unknown"
