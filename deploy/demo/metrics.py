"""Reads the mesh's `/metrics` for the demo: who asked whom how often, and who proved to be whom.

Counterpart: actors.telemetry, which exports Istio's names and labels.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

REQUESTS = "istio_requests_total"
PER_PROXY = "tulle_requests_total"

Labels = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Sample:
    """One series and its value."""

    name: str
    labels: Labels
    value: float


def parse(text: str) -> list[Sample]:
    """All samples of a Prometheus text exposition. Raises ValueError when it is none."""
    return [
        Sample(sample.name, dict(sample.labels), sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    ]


def edges(samples: Iterable[Sample]) -> dict[str, int]:
    """`{"productpage -> reviews": requests}`, as the clients' proxies count them."""
    return _requests(samples, {"reporter": "source"}, _edge)


def versions(samples: Iterable[Sample], service: str) -> dict[str, int]:
    """`{"v1": requests}` that each version of `service` was sent, as the clients' proxies count."""
    wanted = {"reporter": "source", "destination_service_name": service}
    return _requests(samples, wanted, lambda labels: labels.get("destination_version", "unknown"))


def arrivals(samples: Iterable[Sample]) -> dict[str, int]:
    """`{"<SPIFFE id> -> reviews": requests}`, as the servers' proxies saw them come.

    The id is the one that the client's certificate proved.
    """
    return _requests(samples, {"reporter": "destination"}, _arrival)


def per_proxy(samples: Iterable[Sample], proxies: Iterable[str]) -> dict[str, int]:
    """Requests that each of `proxies` has served, also those that have served none."""
    counts = dict.fromkeys(proxies, 0)
    for sample in samples:
        if sample.name == PER_PROXY and sample.labels["proxy"] in counts:
            counts[sample.labels["proxy"]] += int(sample.value)
    return counts


def _requests(
    samples: Iterable[Sample], wanted: Labels, name: Callable[[Labels], str]
) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for sample in samples:
        if sample.name == REQUESTS and wanted.items() <= sample.labels.items():
            counts[name(sample.labels)] += int(sample.value)
    return dict(counts)


def _edge(labels: Labels) -> str:
    return f"{labels['source_canonical_service']} -> {labels['destination_service_name']}"


def _arrival(labels: Labels) -> str:
    return f"{labels['source_principal']} -> {labels['destination_service_name']}"
