"""The commands that measure a promise: they run, and what they find has the promised form."""

import json
from pathlib import Path

from tulle.load import change, idle, memory, propagation, stall


def test_a_change_under_load_is_measured_and_no_request_fails(tmp_path: Path) -> None:
    file = tmp_path / "change.json"
    arguments = ["--changes", "3", "--rate", "50", "--sidecars", "1", "--json", str(file)]
    status = change.run(arguments)
    found = json.loads(file.read_text())
    assert (found["changes"], found["failed"], found["proxies"]) == (3, 0, 2)
    assert found["requests"] > 0
    assert 0 < found["p50_ms"] <= found["p99_ms"]
    assert status == (1 if change.missed(found) else 0)


def test_an_idle_mesh_is_measured_by_kind_of_process(tmp_path: Path) -> None:
    file = tmp_path / "idle.json"
    assert idle.run(["--seconds", "1", "--sidecars", "1", "--json", str(file)]) == 0
    found = json.loads(file.read_text())
    counts = {kind: its["processes"] for kind, its in found["kinds"].items()}
    expected = {"sidecar": 1, "gateway": 1, "evaluator": 2, "supervisor": 1, "authority": 1}
    expected |= {"collector": 1, "nats-server": 1, "tulle up": 1, "tulle run": 1, "ray host": 1}
    assert expected.items() <= counts.items()
    assert 0 < found["sidecar_cpu_percent"] < found["mesh_cpu_percent"]


def test_memory_of_a_sidecar_is_read_after_so_many_requests(tmp_path: Path) -> None:
    file = tmp_path / "memory.json"
    memory.run(["--first", "1", "--last", "2", "--seconds", "1", "--json", str(file)])
    found = json.loads(file.read_text())
    assert 0 < found["first_requests"] <= found["requests"]
    assert found["failed"] == 0
    assert 10 < found["private_mb"] < found["pss_mb"] < 500


def test_the_stall_of_an_installing_proxy_is_measured(tmp_path: Path) -> None:
    file = tmp_path / "stall.json"
    stall.run(["--routes", "50", "--installs", "2", "--rate", "50", "--json", str(file)])
    found = json.loads(file.read_text())
    assert (found["routes"], found["installs"], found["failed"]) == (50, 2, 0)
    assert found["requests"] > 0
    assert found["stall_ms"] > 0


def test_propagation_to_all_simulated_proxies_is_measured(tmp_path: Path) -> None:
    file = tmp_path / "propagation.json"
    arguments = ["--proxies", "6", "--processes", "2", "--changes", "2", "--json", str(file)]
    propagation.run(arguments)
    found = json.loads(file.read_text())
    assert (found["installs"], found["processes"]) == (12, 2)
    assert 0 < found["first_ms"] <= found["p99_ms"] < 5_000
