"""Counters and histograms."""

from tulle.actors.proxy.cells import BOUNDS
from tulle.actors.proxy.stats import Stats
from tulle.bus.messages import Series


def by_name(series: list[Series]) -> dict[tuple[str, str, str], Series]:
    return {(s.name, s.labels["response_code"], s.labels["response_flags"]): s for s in series}


def values(series: list[Series]) -> dict[str, float]:
    return {one.name: one.value for one in series}


def test_requests_durations_and_sizes() -> None:
    stats = Stats()
    recorder = stats.recorder("source", {"destination_service": "a"})
    for milliseconds in (0.1, 0.5, 0.6, 3_600_001):
        recorder.add(200, milliseconds, 100, 4_000_000)
    recorder.add_flagged(503, "UF", 7, 0, 1_001)
    series = by_name(stats.snapshot(False))
    assert series["istio_requests_total", "200", "-"].value == 4
    durations = series["istio_request_duration_milliseconds", "200", "-"]
    assert durations.value == 3_600_002.2
    assert len(durations.buckets) == len(BOUNDS) + 1
    assert (durations.buckets[:2], durations.buckets[-1]) == ([2, 1], 1)
    requests = series["istio_request_bytes", "200", "-"]
    assert (requests.value, requests.buckets[BOUNDS.index(100)]) == (400, 4)
    responses = series["istio_response_bytes", "200", "-"]
    assert (responses.value, responses.buckets[-1]) == (16_000_000, 4)
    assert series["istio_requests_total", "503", "UF"].value == 1
    flagged = series["istio_response_bytes", "503", "UF"]
    assert (flagged.value, flagged.buckets[BOUNDS.index(2_500)]) == (1_001, 1)
    assert series["istio_request_bytes", "503", "UF"].buckets[0] == 1
    labels = flagged.labels
    assert (labels["reporter"], labels["request_protocol"]) == ("source", "http")
    assert labels["connection_security_policy"] == "unknown"
    assert labels["destination_service"] == "a"
    assert labels["grpc_response_status"] == ""


def test_only_what_changed_and_always_absolute() -> None:
    stats = Stats()
    recorder = stats.recorder("destination", {})
    recorder.add(200, 1, 1, 1)
    recorder.add(404, 1, 1, 1)
    assert len(stats.snapshot(True)) == 8
    assert stats.snapshot(True) == []
    recorder.add(200, 1, 1, 1)
    assert values(stats.snapshot(True))["istio_requests_total"] == 2
    assert len(stats.snapshot(False)) == 8


def test_equal_labels_are_one_recorder() -> None:
    stats = Stats()
    assert stats.recorder("source", {"a": "1"}, {"b": "2"}) is stats.recorder(
        "source", {"b": "2"}, {"a": "1"}
    )
    assert stats.tcp_recorder("source", {"a": "1"}) is stats.tcp_recorder("source", {"a": "1"})


def test_over_the_limit_requests_are_counted_together() -> None:
    stats = Stats(limit=10)
    for n in range(100):
        stats.recorder("destination", {"source_workload": f"w{n}"}).add(200, 1, 1, 1)
    series = by_name(stats.snapshot(False))
    total = [s for s in stats.snapshot(False) if s.name == "istio_requests_total"]
    assert len(total) == 11
    assert sum(s.value for s in total) == 100
    assert series["istio_requests_total", "200", "-"].labels["source_workload"] == "unknown"


def test_a_connection_that_lasts_is_reported_while_it_does() -> None:
    stats = Stats()
    recorder = stats.tcp_recorder("destination", {"destination_service": "mongo"})
    assert stats.snapshot(True) == []
    recorder.opened()
    recorder.received(100)
    assert values(stats.snapshot(True)) == {
        "istio_tcp_connections_opened_total": 1,
        "istio_tcp_connections_closed_total": 0,
        "istio_tcp_sent_bytes_total": 0,
        "istio_tcp_received_bytes_total": 100,
    }
    recorder.sent(7)
    recorder.sent(3)
    (labels, *_) = [one.labels for one in stats.snapshot(True)]
    assert (labels["request_protocol"], labels["response_flags"]) == ("tcp", "-")
    assert labels["connection_security_policy"] == "mutual_tls"
    assert "response_code" not in labels and "grpc_response_status" not in labels
    recorder.closed()
    now = values(stats.snapshot(True))
    assert now["istio_tcp_sent_bytes_total"] == 10
    assert now["istio_tcp_connections_closed_total"] == 1


def test_a_flag_says_how_a_connection_ended() -> None:
    stats = Stats()
    recorder = stats.tcp_recorder("source")
    recorder.opened()
    recorder.closed("UF")
    closed = {
        one.labels["response_flags"]: one.value
        for one in stats.snapshot(False)
        if one.name == "istio_tcp_connections_closed_total"
    }
    assert closed == {"-": 0, "UF": 1}
    assert len(stats.snapshot(False)) == 8


def test_over_the_limit_connections_are_counted_together() -> None:
    stats = Stats(limit=10)
    for n in range(100):
        stats.tcp_recorder("source", {"destination_workload": f"w{n}"}).opened()
    opened = [s for s in stats.snapshot(False) if s.name == "istio_tcp_connections_opened_total"]
    assert len(opened) == 11 and sum(one.value for one in opened) == 100


def test_what_does_not_count_has_nothing_to_tell() -> None:
    stats = Stats(counting=False)
    recorder = stats.recorder("source", {"a": "1"})
    recorder.add(200, 1, 1, 1)
    recorder.add_flagged(503, "UF", 1)
    tcp = stats.tcp_recorder("source", {"a": "1"})
    tcp.opened()
    tcp.sent(1)
    tcp.received(1)
    tcp.closed()
    assert stats.snapshot(False) == []
