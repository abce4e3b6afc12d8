"""From single runs to the rows of a result, as functions; `peers.py` prints and keeps them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from tulle.load.wrk import Sample

TARGET = 0.6  # our CPU per request, as a share of Envoy's
PROMISED = ("http1", "http1-mtls-pair")  # the scenarios that the target is promised for

OWN_STATS = "envoy-own-stats"  # a pair of Envoys without labelled request metrics
UNCOUNTED = "telemetry-off"  # the contestant that is ours, with telemetry off


@dataclass(frozen=True, slots=True)
class Round:
    """One run of one contestant: what wrk saw, and the CPU that the contestant used meanwhile."""

    peer: str
    sample: Sample
    cpu_seconds: float


@dataclass(frozen=True, slots=True)
class Row:
    """All rounds of one contestant in one scenario: sums, and the median of the latencies."""

    scenario: str
    peer: str
    cpu_us_per_request: float
    requests_per_second: float
    p50_ms: float
    p99_ms: float
    errors: int


def row(scenario: str, peer: str, rounds: Sequence[Round]) -> Row:
    """The row of `peer`. Raises ValueError when not one request was answered."""
    requests = sum(found.sample.requests for found in rounds)
    if not requests:
        raise ValueError(f"{peer} answered no request in {scenario}")
    return Row(
        scenario=scenario,
        peer=peer,
        cpu_us_per_request=round(sum(r.cpu_seconds for r in rounds) / requests * 1e6, 1),
        requests_per_second=round(requests / sum(r.sample.seconds for r in rounds), 1),
        p50_ms=round(median(r.sample.p50_ms for r in rounds), 3),
        p99_ms=round(median(r.sample.p99_ms for r in rounds), 3),
        errors=sum(r.sample.errors for r in rounds),
    )


def share_of_envoy(rows: Iterable[Row], scenario: str, envoy: str = "envoy") -> float | None:
    """Our CPU per request as a share of Envoy's; None when one of the two was not measured."""
    cpu = {found.peer: found.cpu_us_per_request for found in rows if found.scenario == scenario}
    if "tulle" not in cpu or not cpu.get(envoy):
        return None
    return cpu["tulle"] / cpu[envoy]


@dataclass(frozen=True, slots=True)
class Telemetry:
    """CPU per request with telemetry on and off, in microseconds, and the difference."""

    scenario: str
    on_us: float
    off_us: float
    costs_us: float


def telemetry(rows: Iterable[Row]) -> list[Telemetry]:
    """What telemetry costs in each scenario that was measured with and without it."""
    cpu = {(found.scenario, found.peer): found.cpu_us_per_request for found in rows}
    return [
        Telemetry(scenario, on, off, round(on - off, 1))
        for (scenario, peer), on in cpu.items()
        if peer == "tulle" and (off := cpu.get((scenario, UNCOUNTED))) is not None
    ]


def missed(rows: Iterable[Row]) -> str:
    """A sentence per target that is missed, and by how much; empty when all are kept or unknown."""
    rows = list(rows)
    shares = [(name, share_of_envoy(rows, name)) for name in PROMISED]
    return "\n".join(
        f"the target is missed: {name} costs {share:.3f} x Envoy's CPU per request, "
        f"at most {TARGET} is promised"
        for name, share in shares
        if share is not None and share > TARGET
    )
