from dataclasses import replace

import pytest

from tulle.load.rows import UNCOUNTED, Round, Row, Telemetry, missed, row, share_of_envoy, telemetry
from tulle.load.wrk import Sample

ROUNDS = (
    Round("tulle", Sample(10_000, 1.0, 2.0, 4.0, 0), 0.50),
    Round("tulle", Sample(20_000, 1.5, 1.0, 6.0, 1), 0.70),
)


def measured(peer: str, cpu: float) -> Row:
    return Row("http1", peer, cpu, 1000.0, 1.0, 2.0, 0)


def test_a_row_sums_requests_and_cpu_over_all_rounds() -> None:
    assert row("http1", "tulle", ROUNDS) == Row("http1", "tulle", 40.0, 12_000.0, 1.5, 5.0, 1)


def test_no_answer_is_no_row() -> None:
    with pytest.raises(ValueError, match="envoy answered no request in http1"):
        row("http1", "envoy", [Round("envoy", Sample(0, 1.0, 0.0, 0.0, 32), 0.1)])


def test_our_share_of_envoys_cpu() -> None:
    rows = [measured("tulle", 60.0), measured("envoy", 120.0), measured("nginx", 30.0)]
    assert share_of_envoy(rows, "http1") == 0.5
    assert share_of_envoy(rows[:1], "http1") is None
    assert share_of_envoy(rows, "http2") is None


def test_each_promised_scenario_that_is_missed_is_named() -> None:
    rows = [
        Row(scenario, peer, cpu, 1000.0, 1.0, 2.0, 0)
        for scenario in ("http1", "http1-mtls-pair", "other")
        for peer, cpu in (("tulle", 61.0), ("envoy", 100.0))
    ]
    assert [line.split()[4] for line in missed(rows).splitlines()] == ["http1", "http1-mtls-pair"]


def test_what_telemetry_costs_is_on_less_off_in_the_same_scenario() -> None:
    pair = replace(measured("tulle", 90.0), scenario="pair")
    rows = [measured("tulle", 40.0), measured("envoy", 90.0), measured(UNCOUNTED, 39.3), pair]
    assert telemetry(rows) == [Telemetry("http1", 40.0, 39.3, 0.7)]
    assert telemetry([*rows, replace(measured(UNCOUNTED, 91.0), scenario="pair")])[1:] == [
        Telemetry("pair", 90.0, 91.0, -1.0)
    ]
    assert telemetry(rows[:2]) == []
