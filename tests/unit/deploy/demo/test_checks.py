import pytest

from tulle.deploy.demo.checks import Check, Checks
from tulle.deploy.errors import Failure


def ticking() -> Checks:
    times = iter(range(100))
    return Checks(clock=lambda: float(next(times)))


def test_a_check_says_what_was_seen_and_how_long_it_took() -> None:
    checks = ticking()
    with checks.check(2, "all v3", "v3 100%") as outcome:
        outcome.saw("v3 60", True)
    assert checks.done == [Check(2, "all v3", True, "v3 100%", "v3 60", 1.0)]
    assert checks.ok


def test_without_a_word_a_check_has_failed() -> None:
    checks = ticking()
    with checks.check(1, "anything", "something"):
        pass
    assert not checks.ok


def test_what_the_mesh_does_wrong_fails_the_check_and_no_more() -> None:
    checks = ticking()
    with checks.check(1, "apply", "applied"):
        raise Failure("`tulle apply` ended with status 3:\nnot applied by: reviews-v1-abcde")
    assert (checks.done[0].ok, checks.done[0].seen) == (False, "not applied by: reviews-v1-abcde")
    assert checks.trouble[0].startswith("apply: `tulle apply` ended")


def test_a_time_out_is_said() -> None:
    checks = ticking()
    with checks.check(1, "status", "current"):
        raise TimeoutError
    assert checks.done[0].seen == "not in time"


def test_a_mistake_in_the_demo_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError), ticking().check(1, "x", "y"):
        raise ZeroDivisionError


def test_none_is_not_ok() -> None:
    assert not Checks().ok


def test_who_shows_checks_is_told_when_they_start_and_end() -> None:
    told: list[object] = []
    checks = Checks(lambda *start: told.append(start), told.append)
    with checks.check(1, "name", "expected") as outcome:
        outcome.saw(7, True)
    assert told == [(1, "name", "expected"), checks.done[0]]
