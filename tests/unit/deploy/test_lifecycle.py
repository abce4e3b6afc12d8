"""The life of an app: what happens in which order, and what a second signal changes."""

import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tulle.deploy.lifecycle import (
    FAILURES_ALLOWED,
    AppExited,
    Deregister,
    Deregistered,
    Drained,
    DrainInbound,
    Effect,
    EndApp,
    Event,
    GroupGone,
    Leave,
    Lifecycle,
    Phase,
    Probed,
    Say,
    SendSignal,
    SidecarReady,
    Signal,
    StartApp,
    SweepGroup,
)


def after(*events: Event, serves: bool = True) -> tuple[Lifecycle, list[Effect]]:
    """A lifecycle after `events`, and what the last of them asked for."""
    life = Lifecycle(serves=serves)
    effects: list[Effect] = []
    for event in events:
        effects = life.handle(event)
    return life, effects


UP = (SidecarReady(), Probed(True))


def test_the_app_starts_when_its_sidecar_is_ready() -> None:
    assert after(SidecarReady())[1] == [StartApp()]


def test_it_is_an_endpoint_only_when_the_app_accepts() -> None:
    assert after(SidecarReady(), Probed(False))[1] == []
    assert after(*UP)[1] == [Say("ready")]
    assert after(*UP, Probed(True))[1] == []


def test_a_client_is_ready_as_soon_as_it_runs() -> None:
    assert after(SidecarReady(), serves=False)[1] == [StartApp(), Say("ready")]


def test_a_ready_app_may_fail_a_check_or_two() -> None:
    bad = [Probed(False)] * FAILURES_ALLOWED
    assert after(*UP, *bad[1:])[1] == []
    assert after(*UP, *bad)[1] == [Say("starting")]
    assert after(*UP, *bad, Probed(True))[1] == [Say("ready")]


def test_on_sigterm_peers_go_first_then_requests_then_the_app() -> None:
    stop = (*UP, Signal(signal.SIGTERM))
    assert after(*stop)[1] == [Say("draining"), Deregister()]
    assert after(*stop, Deregistered())[1] == [DrainInbound()]
    assert after(*stop, Deregistered(), Drained())[1] == [EndApp(signal.SIGTERM)]
    ended = (*stop, Deregistered(), Drained(), AppExited(143))
    assert after(*ended)[1] == [SweepGroup()]
    assert after(*ended, GroupGone())[1] == [Leave(143)]


def test_a_client_need_not_deregister() -> None:
    assert after(SidecarReady(), Signal(signal.SIGINT), serves=False)[1] == [EndApp(signal.SIGINT)]


@pytest.mark.parametrize("before", [(), (Deregistered(),)])
def test_a_second_signal_ends_the_patience(before: tuple[Event, ...]) -> None:
    events = (*UP, Signal(signal.SIGTERM), *before, Signal(signal.SIGTERM))
    assert after(*events)[1] == [EndApp(signal.SIGTERM)]


def test_what_comes_late_changes_nothing() -> None:
    hurried = (*UP, Signal(signal.SIGTERM), Signal(signal.SIGTERM))
    assert after(*hurried, Deregistered())[1] == []
    assert after(*hurried, Drained())[1] == []
    assert after(*hurried, Probed(True))[1] == []


def test_other_signals_are_passed_on() -> None:
    life, effects = after(*UP, Signal(signal.SIGHUP))
    assert effects == [SendSignal(signal.SIGHUP)]
    assert life.phase is Phase.UP


def test_an_app_that_ends_by_itself_passes_its_status_on() -> None:
    assert after(*UP, AppExited(3))[1] == [Say("draining"), SweepGroup()]
    assert after(*UP, AppExited(3), GroupGone())[1] == [Leave(3)]


def test_a_signal_before_the_app_runs_ends_all_of_it() -> None:
    assert after(Signal(signal.SIGINT))[1] == [Leave(130)]
    assert after(Signal(signal.SIGHUP))[1] == []


EVENTS = st.one_of(
    st.sampled_from([SidecarReady(), Deregistered(), Drained(), GroupGone()]),
    st.builds(Probed, st.booleans()),
    st.builds(Signal, st.sampled_from([signal.SIGTERM, signal.SIGINT, signal.SIGHUP])),
    st.builds(AppExited, st.integers(0, 255)),
)


@given(st.lists(EVENTS, max_size=20), st.booleans())
def test_whatever_happens_the_app_starts_once_and_leaving_is_last(
    events: list[Event], serves: bool
) -> None:
    life = Lifecycle(serves=serves)
    effects = [effect for event in events for effect in life.handle(event)]

    assert effects.count(StartApp()) <= 1
    leaves = [i for i, effect in enumerate(effects) if isinstance(effect, Leave)]
    assert leaves in ([], [len(effects) - 1])
    ready = [i for i, effect in enumerate(effects) if effect == Say("ready")]
    over = [i for i, effect in enumerate(effects) if effect == Say("draining")]
    assert not over or all(i < over[0] for i in ready), "ready again after draining"
