"""Who gives no sign of life, and how many may leave for it."""

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from tulle.actors.supervisor.leases import EXPIRY_SECONDS, WINDOW_SECONDS, Leases


def quiet(*workloads: str) -> Leases:
    """All heard at 0, and never again."""
    leases = Leases(0.0)
    for workload in workloads:
        leases.heard(workload, 0.0)
    return leases


def test_silence_takes_its_time() -> None:
    leases = quiet("a")
    assert not leases.silent("a", EXPIRY_SECONDS - 0.1)
    assert leases.silent("a", EXPIRY_SECONDS)


def test_a_lease_starts_it_anew() -> None:
    leases = quiet("a")
    leases.heard("a", 5.0)
    assert not leases.silent("a", 10.9)
    assert leases.silent("a", 11.0)


def test_whom_nobody_heard_yet_gets_time_from_now_on() -> None:
    leases = Leases(0.0)
    assert not leases.silent("a", 100.0)
    assert leases.silent("a", 106.0)


def test_who_is_disconnected_hears_nobody_and_judges_nobody() -> None:
    leases = quiet("a")
    leases.disconnected()
    assert not leases.silent("a", 1000.0)
    leases.connected(1000.0)
    assert not leases.silent("a", 1005.9)
    assert leases.silent("a", 1006.0)


def test_half_of_the_endpoints_leave_in_a_minute_then_half_of_the_rest() -> None:
    endpoints = ["a", "b", "c", "d"]
    leases = quiet(*endpoints)
    assert leases.to_remove("s", endpoints, 10.0) == ["a", "b"]
    assert leases.to_remove("s", ["c", "d"], 11.0) == []
    assert leases.to_remove("s", ["c", "d"], 10.0 + WINDOW_SECONDS) == ["c"]


def test_a_single_endpoint_may_always_leave() -> None:
    assert quiet("a").to_remove("s", ["a"], 10.0) == ["a"]


def test_services_are_counted_apart() -> None:
    leases = quiet("a", "b")
    assert leases.to_remove("s", ["a"], 10.0) == ["a"]
    assert leases.to_remove("t", ["b"], 10.0) == ["b"]


@settings(max_examples=60)
@given(st.integers(1, 40), st.lists(st.floats(0.1, 20.0), max_size=40))
def test_never_more_than_half_in_any_minute_but_one(count: int, pauses: list[float]) -> None:
    endpoints = [f"w{number:02}" for number in range(count)]
    leases, now, removals = quiet(*endpoints), EXPIRY_SECONDS, list[float]()
    for pause in pauses:
        removed = leases.to_remove("s", endpoints, now)
        endpoints = [one for one in endpoints if one not in removed]
        removals += [now] * len(removed)
        window = [at for at in removals if at > now - WINDOW_SECONDS]
        assert len(window) <= max(1, math.floor((len(endpoints) + len(window)) / 2))
        now += pause
