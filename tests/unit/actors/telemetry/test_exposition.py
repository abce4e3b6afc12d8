"""Prometheus' text, read back by Prometheus' own parser."""

from prometheus_client.parser import text_string_to_metric_families

from tulle.actors.proxy.cells import BOUNDS, DURATION, REQUESTS
from tulle.actors.proxy.stats import Stats
from tulle.actors.telemetry.exposition import render
from tulle.actors.telemetry.totals import Totals
from tulle.bus.messages import TelemetryBatch


def test_what_a_proxy_counts_can_be_queried() -> None:
    stats = Stats()
    recorder = stats.recorder("source", {"destination_app": "reviews"})
    for milliseconds in (0.2, 3.0, 3.0, 4_000_000.0):
        recorder.add(200, milliseconds, 100, 200)
    totals = Totals()
    totals.add(TelemetryBatch(proxy="p", started=1, series=stats.snapshot(changed_only=False)))
    text = render(totals.sums(), [("tulle_telemetry_series_refused_total", 0)]).decode()
    samples = {
        (sample.name, sample.labels.get("le")): sample
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    requests = samples[REQUESTS, None]
    assert requests.value == 4
    assert requests.labels["destination_app"] == "reviews"
    assert requests.labels["response_code"] == "200"
    buckets = {le: s.value for (name, le), s in samples.items() if name == f"{DURATION}_bucket"}
    assert len(buckets) == len(BOUNDS) + 1
    assert (buckets["0.5"], buckets["1"], buckets["5"]) == (1, 1, 3)
    assert (buckets["3600000"], buckets["+Inf"]) == (3, 4)
    assert samples[f"{DURATION}_count", None].value == 4
    assert samples["tulle_telemetry_series_refused_total", None].value == 0


def test_no_series_is_a_valid_text() -> None:
    assert render([]) == b""
