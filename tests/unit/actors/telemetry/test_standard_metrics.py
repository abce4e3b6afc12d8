"""Our metrics against Istio's documentation, typed in from there, and Prometheus' text format.

https://istio.io/latest/docs/reference/config/metrics/
"""

import re

import pytest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from tulle.actors.proxy import labels
from tulle.actors.proxy.stats import Reporter, Stats
from tulle.actors.telemetry.exposition import render
from tulle.actors.telemetry.totals import Totals
from tulle.bus.messages import TelemetryBatch
from tulle.policies.config import StaticEndpoint

HTTP_METRICS = {
    "istio_requests_total": "counter",
    "istio_request_duration_milliseconds": "histogram",
    "istio_request_bytes": "histogram",
    "istio_response_bytes": "histogram",
}
TCP_METRICS = {
    "istio_tcp_sent_bytes_total": "counter",
    "istio_tcp_received_bytes_total": "counter",
    "istio_tcp_connections_opened_total": "counter",
    "istio_tcp_connections_closed_total": "counter",
}
COMMON = {
    "reporter",
    "source_workload",
    "source_workload_namespace",
    "source_principal",
    "source_app",
    "source_version",
    "source_cluster",
    "source_canonical_service",
    "source_canonical_revision",
    "destination_workload",
    "destination_workload_namespace",
    "destination_principal",
    "destination_app",
    "destination_version",
    "destination_cluster",
    "destination_service",
    "destination_service_name",
    "destination_service_namespace",
    "destination_canonical_service",
    "destination_canonical_revision",
    "request_protocol",
    "response_flags",
    "connection_security_policy",
}
OF_HTTP = {"response_code", "grpc_response_status"}
# Envoy's defaults: `Histogram bucket settings` of config.metrics.v3.StatsConfig.
BUCKETS = (
    "0.5 1 5 10 25 50 100 250 500 1000 2500 5000 10000 30000 60000 300000 600000 1800000 3600000 "
    "+Inf"
).split()
PEER = "spiffe://cluster.local/ns/shop/sa/reviews"
ODD = 'a "quoted\\ name\nof two lines'


def exposed(reporter: Reporter = "source") -> str:
    """What a proxy counted, as text."""
    stats = Stats(mesh="shop")
    parts = (
        labels.of_peer(PEER, "reviews-v1-abcde"),
        labels.of_static(StaticEndpoint("192.0.2.1", 80, (("app", ODD),))),
        labels.service_labels("mail.example.com", "mail", "shop"),
    )
    requests, connections = stats.recorder(reporter, *parts), stats.tcp_recorder(reporter, *parts)
    requests.add(200, 0.7, 80, 3_000)
    requests.add_flagged(503, "UF", 20.0, 80, 200)
    connections.opened()
    connections.received(10)
    totals = Totals()
    totals.add(TelemetryBatch(proxy="p", started=1, series=stats.snapshot(changed_only=False)))
    return render([*totals.sums(), *totals.of_proxies()], [("tulle_telemetry_proxies", 1)]).decode()


def samples(text: str, name: str) -> list[Sample]:
    return [
        sample
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name
    ]


def test_names_and_types_are_istios_and_there_are_no_others() -> None:
    text = exposed()
    types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))
    assert types == HTTP_METRICS | TCP_METRICS | {
        "tulle_requests_total": "counter",
        "tulle_telemetry_proxies": "gauge",
    }
    helps = dict(re.findall(r"^# HELP (\S+) (.+)$", text, re.MULTILINE))
    assert helps.keys() == types.keys()
    assert all(said.endswith(".") for said in helps.values())
    suffixes = ("", "_bucket", "_count", "_sum")
    allowed = {f"{name}{suffix}" for name in types for suffix in suffixes}
    assert {line.split("{")[0].split()[0] for line in text.splitlines() if line[0] != "#"} < allowed


@pytest.mark.parametrize("name", HTTP_METRICS)
def test_labels_of_http_are_istios(name: str) -> None:
    shown = f"{name}_count" if HTTP_METRICS[name] == "histogram" else name
    for sample in samples(exposed(), shown):
        assert sample.labels.keys() == COMMON | OF_HTTP
        assert sample.labels["request_protocol"] == "http"
        assert (sample.labels["response_code"], sample.labels["response_flags"]) in (
            ("200", "-"),
            ("503", "UF"),
        )


@pytest.mark.parametrize("name", TCP_METRICS)
def test_labels_of_tcp_are_istios(name: str) -> None:
    (sample,) = samples(exposed(), name)
    assert sample.labels.keys() == COMMON
    assert sample.labels["request_protocol"] == "tcp"


@pytest.mark.parametrize("name", [n for n, kind in HTTP_METRICS.items() if kind == "histogram"])
def test_buckets_are_envoys_cumulative_and_end_with_the_count(name: str) -> None:
    text = exposed()
    found = [
        (sample.labels["le"], sample.value)
        for sample in samples(text, f"{name}_bucket")
        if sample.labels["response_code"] == "200"
    ]
    assert [le for le, _ in found] == BUCKETS
    counts = [count for _, count in found]
    assert counts == sorted(counts)
    (count,) = [
        s.value for s in samples(text, f"{name}_count") if s.labels["response_flags"] == "-"
    ]
    assert counts[-1] == count == 1


def test_sums_of_histograms() -> None:
    sums = {
        (name, sample.labels["response_code"]): sample.value
        for name in HTTP_METRICS
        for sample in samples(exposed(), f"{name}_sum")
    }
    assert sums["istio_request_bytes", "200"] == 80
    assert sums["istio_response_bytes", "200"] == 3_000
    assert sums["istio_response_bytes", "503"] == 200
    assert sums["istio_request_duration_milliseconds", "503"] == 20.0


def test_labels_are_escaped_and_read_back_as_they_were() -> None:
    for sample in samples(exposed(), "istio_requests_total"):
        assert sample.labels["destination_app"] == ODD


@pytest.mark.parametrize(
    ("reporter", "policy"), [("source", "unknown"), ("destination", "mutual_tls")]
)
def test_what_each_reporter_knows_of_the_connection(reporter: Reporter, policy: str) -> None:
    for sample in samples(exposed(reporter), "istio_tcp_received_bytes_total"):
        assert sample.labels["reporter"] == reporter
        assert sample.labels["connection_security_policy"] == policy
        assert sample.labels["source_principal"] == PEER
