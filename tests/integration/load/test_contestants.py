"""The peers as real programs: their configurations are accepted, and they forward."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tulle.deploy.demo.children import CommandFailed
from tulle.load import contestants, envoy, machine, nginx, pair, wrk
from tulle.load.scenarios import SCENARIOS

ENVOY = Path(sys.executable).parent / "envoy"


def test_envoy_accepts_its_configuration(tmp_path: Path) -> None:
    config = tmp_path / "envoy.yaml"
    config.write_text(envoy.config(18080, 18081, 18082))
    done = subprocess.run(
        [ENVOY, "--mode", "validate", "-c", config], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "warn" not in done.stderr.lower()


@pytest.mark.asyncio
@pytest.mark.parametrize("name", ["envoy", "nginx"])
async def test_a_peer_forwards_and_its_cpu_is_seen(name: str, tmp_path: Path) -> None:
    async with (
        contestants.backend(tmp_path) as backend,
        contestants.PEERS[name](tmp_path, backend) as peer,
    ):
        (pid,) = peer.pids
        before = machine.cpu_seconds_of(pid)
        sample = await wrk.run(tmp_path, SCENARIOS["http1"], peer.port, seconds=1)
        assert sample.errors == 0
        assert sample.requests > 100
        assert machine.cpu_seconds_of(pid) > before


@pytest.mark.asyncio
async def test_two_envoys_forward_over_mtls_and_let_only_the_gateway_in(tmp_path: Path) -> None:
    scenario = SCENARIOS["http1-mtls-pair"]
    async with (
        contestants.backend(tmp_path) as backend,
        pair.PAIRS["envoy"](tmp_path, backend) as peer,
    ):
        gateway, sidecar = map(machine.cpu_seconds_of, peer.pids)
        sample = await wrk.run(tmp_path, scenario, peer.port, seconds=1)
        assert sample.errors == 0
        assert sample.requests > 100
        refused = await wrk.run(tmp_path, replace(scenario, path="/other"), peer.port, seconds=1)
        assert refused.errors == refused.requests
        after = [*map(machine.cpu_seconds_of, peer.pids)]
        assert after[0] > gateway and after[1] > sidecar


@pytest.mark.asyncio
async def test_a_program_that_does_not_start_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nginx, "backend", lambda port, folder: "nonsense;")
    with pytest.raises(CommandFailed, match=r'(?s)backend ended.*unknown directive "nonsense"'):
        async with contestants.backend(tmp_path):
            pass
