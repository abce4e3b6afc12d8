"""The rules of tests/conftest.py on skips, by a pytest of its own on a file of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
TESTS = """
import pytest

def test_passes():
    pass

def test_skips():
    pytest.skip("wrk is not installed")

@pytest.mark.skipif(True, reason="never")
def test_is_marked():
    pass

@pytest.mark.parametrize("nothing", [])
def test_has_no_case(nothing):
    pass

@pytest.mark.xfail(reason="known", strict=True)
def test_fails_as_known():
    assert False

@pytest.mark.needs_shared
def test_reads_istios_files():
    pass

@pytest.mark.needs_shared
def test_reads_them_and_skips_for_another_reason():
    pytest.skip("wrk is not installed")
"""
SKIPS = {"test_skips", "test_is_marked", "test_has_no_case"}
READS = "test_reads_istios_files"
READS_AND_SKIPS = "test_reads_them_and_skips_for_another_reason"


def outcomes(folder: Path, ci: str, istio: bool) -> dict[str, set[str]]:
    """Names of tests by outcome, of a run with or without Istio's files at hand."""
    (folder / "test_it.py").write_text(TESTS)
    if istio:
        (folder / "istio").mkdir()
        (folder / "istio" / "crds.yaml").touch()
    env = {**os.environ, "CI": ci, "TULLE_SHARED": str(folder)}
    options = ["-p", "tests.conftest", "-p", "no:cacheprovider", "-c", os.devnull]
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "-v", "--strict-markers", str(folder)],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
    )
    found: dict[str, set[str]] = {}
    for line in ran.stdout.splitlines():
        name, _, rest = line.rpartition("::")[2].partition(" ")
        if line.endswith("%]"):
            found.setdefault(rest.split()[0], set()).add(name.partition("[")[0])
    assert found, ran.stdout + ran.stderr
    failed = found.keys() & {"FAILED", "ERROR"}
    assert ran.returncode == (1 if failed else 0), ran.stdout + ran.stderr
    return found


@pytest.mark.parametrize("ci", ["true", ""])
@pytest.mark.parametrize("istio", [True, False])
def test_under_ci_a_skip_is_a_failure_but_for_the_absence_of_istios_files(
    tmp_path: Path, ci: str, istio: bool
) -> None:
    found = outcomes(tmp_path, ci, istio)
    skipped = SKIPS | ({READS_AND_SKIPS} if istio else set())
    excused = set() if istio else {READS, READS_AND_SKIPS}
    refused = found.get("FAILED", set()) | found.get("ERROR", set())
    assert refused == (skipped if ci else set())
    assert found.get("SKIPPED", set()) == excused | (set() if ci else skipped)
    assert found["PASSED"] == {"test_passes"} | ({READS} if istio else set())
    assert found["XFAIL"] == {"test_fails_as_known"}
