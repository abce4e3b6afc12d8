"""The demo as a whole on a mesh that is none: its exit status, its times, `--step`, `--hold`."""

import asyncio
import json
import os
import signal
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.fake_bookstore import HTTP, INGRESS, Clock, FakeBookstore, FakeTraffic
from tulle.deploy.demo import main
from tulle.deploy.demo.pages import Page
from tulle.deploy.demo.stage import Stage
from tulle.deploy.demo.steps import Step

BEFORE = ["tulle up", "tulle run, six times", "tulle apply bookstore.yaml"]
AFTER = ["the whole demo", "everything ends"]
GOOD = Page(0.0, 1.0, 200)
BAD = Page(0.0, 1.0, 503, "status 503 no_endpoints")


@dataclass
class Demo:
    """A demo of three steps with one check each; what they find is the test's."""

    clock: Clock
    store: FakeBookstore
    traffic: FakeTraffic = field(default_factory=lambda: FakeTraffic([GOOD, GOOD]))
    step_seconds: float = 20.0
    failing: int = 0  # the step whose check does not hold
    ran: list[int] = field(default_factory=list)

    async def step(self, stage: Stage) -> None:
        self.ran.append(stage.step)
        self.clock.now += self.step_seconds
        with stage.check(f"check {stage.step}", "well") as outcome:
            outcome.saw("as it is", stage.step != self.failing)


@pytest.fixture
def demo(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Demo:
    """The demo that `main.run` runs."""
    clock = Clock()
    demo = Demo(clock, FakeBookstore(clock, tmp_path / "gone"))
    monkeypatch.setattr(main, "time", clock)
    monkeypatch.setattr(main, "Bookstore", lambda: demo.store)
    monkeypatch.setattr(main, "Traffic", lambda address: demo.traffic)
    monkeypatch.setattr(main, "STEPS", {number: Step("", demo.step) for number in (1, 2, 3)})
    return demo


def report(capsys: pytest.CaptureFixture[str]) -> dict[str, bool]:
    """Name of each check and whether it held, in order, from the JSON."""
    result = json.loads(capsys.readouterr().out)
    assert result["ok"] is all(check["ok"] for check in result["checks"])
    return {check["name"]: check["ok"] for check in result["checks"]}


def test_every_check_held(demo: Demo, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(json=True) == 0
    names = [*BEFORE, "check 1", "check 2", "check 3", *AFTER]
    assert report(capsys) == dict.fromkeys(names, True)
    assert demo.store.calls == ["up", "run", "apply bookstore.yaml", "end"]
    assert demo.traffic.told == ["start", "stop"]


def test_one_check_that_failed_is_exit_status_1_and_the_others_still_run(
    demo: Demo, capsys: pytest.CaptureFixture[str]
) -> None:
    demo.failing = 2
    assert main.run(json=True) == 1
    assert [name for name, ok in report(capsys).items() if not ok] == ["check 2"]
    assert demo.ran == [1, 2, 3]


def test_a_failed_request_is_exit_status_1_though_every_check_held(
    demo: Demo, capsys: pytest.CaptureFixture[str]
) -> None:
    demo.traffic = FakeTraffic([GOOD, BAD, GOOD])
    assert main.run(json=True) == 1
    result = json.loads(capsys.readouterr().out)
    assert all(check["ok"] for check in result["checks"])
    assert (result["ok"], result["requests"]) == (False, {"sent": 3, "failed": 1, "lost": 0})


@pytest.mark.parametrize(
    ("call", "asked"),
    [("up", 1), ("run", 2), ("apply bookstore.yaml", 3)],
)
def test_without_a_mesh_or_its_applications_no_step_runs_and_all_is_ended(
    demo: Demo, call: str, asked: int, capsys: pytest.CaptureFixture[str]
) -> None:
    demo.store.fails = (call,)
    assert main.run() == 1
    said = capsys.readouterr()
    assert demo.store.calls == [*["up", "run", "apply bookstore.yaml"][:asked], "end"]
    assert demo.ran == []
    assert f"`tulle {call}` ended with status 1:\nno luck" in said.err
    assert "NOT every check held" in said.out


def test_what_had_to_be_killed_at_the_end_is_a_failure(
    demo: Demo, capsys: pytest.CaptureFixture[str]
) -> None:
    demo.store.stuck = ["reviews-v1"]
    assert main.run(json=True) == 1
    assert [name for name, ok in report(capsys).items() if not ok] == ["everything ends"]


def test_a_folder_that_is_left_is_a_failure(demo: Demo, capsys: pytest.CaptureFixture[str]) -> None:
    demo.store.home.mkdir()
    assert main.run(json=True) == 1
    assert [name for name, ok in report(capsys).items() if not ok] == ["everything ends"]


@pytest.mark.parametrize(("seconds", "status"), [(16.0, 0), (45.0, 0), (45.1, 1)])
def test_up_is_wrong_only_at_more_than_three_times_its_target(
    demo: Demo, seconds: float, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    demo.store.up_seconds = seconds
    assert main.run(json=True) == status
    failed = [name for name, ok in report(capsys).items() if not ok]
    assert failed == (["tulle up"] if status else [])


@pytest.mark.parametrize(("seconds", "status"), [(121.0, 0), (360.0, 0), (360.5, 1)])
def test_the_demo_is_wrong_only_at_more_than_three_times_its_target(
    demo: Demo, seconds: float, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    demo.step_seconds = (seconds - demo.store.up_seconds) / 3
    assert main.run(json=True) == status
    failed = [name for name, ok in report(capsys).items() if not ok]
    assert failed == (["the whole demo"] if status else [])


def test_times_are_shown_beside_their_targets(
    demo: Demo, capsys: pytest.CaptureFixture[str]
) -> None:
    main.run()
    lines = capsys.readouterr().out.splitlines()
    (up,) = [line for line in lines if "tulle up" in line and "ready in 15 s" in line]
    assert "9.0 s, ingress on" in up
    (whole,) = [line for line in lines if "the whole demo" in line and "120 s" in line]
    assert "69 s" in whole


@pytest.mark.parametrize(
    ("asked", "ran"), [((2,), [2]), ((3, 1), [1, 3]), ((2, 2), [2]), ((), [1, 2, 3])]
)
def test_the_steps_that_were_asked_for_and_no_others(
    demo: Demo, asked: tuple[int, ...], ran: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(steps=asked, json=True) == 0
    assert demo.ran == ran
    assert list(report(capsys)) == [*BEFORE, *(f"check {number}" for number in ran), *AFTER]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_hold_says_what_to_try_and_stays_until_it_is_told_to_end(
    demo: Demo,
    number: signal.Signals,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    ended_before: list[bool] = []

    say = main.what_to_try

    def said(home: Path, ingress: str, http: str) -> str:
        ended_before.append("end" in demo.store.calls)
        demo.clock.now += 3_600
        # In a turn of the loop of its own: when the demo waits.
        asyncio.get_running_loop().call_soon(os.kill, os.getpid(), number)
        return say(home, ingress, http)

    monkeypatch.setattr(main, "what_to_try", said)
    assert main.run(hold=True) == 0
    out = capsys.readouterr().out
    assert say(demo.store.home, INGRESS, HTTP) in out
    assert ended_before == [False]
    assert demo.store.calls[-1] == "end"
    assert out.splitlines()[-1].endswith("; 69 s")  # an hour of looking around is not counted
