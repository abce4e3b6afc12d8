"""Shared by all tests: the path of tests/support; under CI no skip, but of `needs_shared`."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

# How long an example takes depends on who else uses the machine.
hypothesis.settings.register_profile("tulle", deadline=None)
hypothesis.settings.load_profile("tulle")

ROOT = Path(__file__).resolve().parent.parent
E2E = ROOT / "tests" / "e2e"
SESSION_MESH = "mesh"
if str(ROOT) not in sys.path:
    # Last: from the root, `import actors` would be a second copy of tulle.actors.
    sys.path.append(str(ROOT))

from tests.support import shared  # noqa: E402 - found by the path above


def pytest_configure(config: pytest.Config) -> None:
    """Makes our markers known, and Ctrl-C for what tests start: a shell's `&` takes it away."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    config.addinivalue_line("markers", "needs_shared: reads Istio's files, which are not ours")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """For `pytest -n 2`: what shares a fixture stays together, and whole meshes come first."""
    if not hasattr(config, "workerinput"):
        return
    for item in items:
        item.add_marker(pytest.mark.xdist_group(_group(item)))
    items.sort(key=lambda item: E2E not in item.path.parents)


def _group(item: pytest.Item) -> str:
    """Its file, or the session's mesh, of which one is enough."""
    fixtures = getattr(item, "fixturenames", ())
    return SESSION_MESH if "mesh" in fixtures and E2E in item.path.parents else str(item.path)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skips what reads Istio's files where they are not."""
    if item.get_closest_marker("needs_shared") and not shared.CRDS.is_file():
        pytest.skip(shared.ABSENT)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """With CI=true a skip is a failure: .ci/run installs everything that a test may need.

    But Istio's files can't be installed, so that their absence stays a skip.
    """
    outcome = yield
    report: pytest.TestReport = outcome.get_result()  # type: ignore[attr-defined]
    if not report.skipped or hasattr(report, "wasxfail") or os.environ.get("CI") != "true":
        return
    if item.get_closest_marker("needs_shared") and _reason(report) == shared.ABSENT:
        return
    report.outcome = "failed"
    report.longrepr = f"skipped under CI: {report.longrepr}"


def _reason(report: pytest.TestReport) -> str:
    """Why a test was skipped."""
    place = report.longrepr  # of a skip: file, line, text
    return place[2].removeprefix("Skipped: ") if isinstance(place, tuple) else ""
