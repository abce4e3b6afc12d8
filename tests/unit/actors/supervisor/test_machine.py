"""The supervisor's machine as a script: what comes in, what shall be written or checked."""

from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.workloads import record
from tulle.actors.supervisor.machine import (
    CheckGone,
    Connected,
    Disconnected,
    Effect,
    Event,
    Forget,
    Leased,
    Leaves,
    Reported,
    Stored,
    SupervisorMachine,
    Ticked,
    Turn,
    TurnFailed,
)
from tulle.bus.messages import WorkloadState as State

REVIEWS = ("default", "reviews")


@pytest.fixture
def make() -> Iterator[Callable[..., SupervisorMachine]]:
    """Machines that know the workloads given as states, validated at the end of the test."""
    machines: list[SupervisorMachine] = []

    def machine(**states: State) -> SupervisorMachine:
        machines.append(SupervisorMachine(0.0))
        machines[-1].handle(Stored(record(**states)), 0.0)
        return machines[-1]

    yield machine
    for one in machines:
        assert one.validate() == []


Make = Callable[..., SupervisorMachine]


def turn(workload: str) -> Turn:
    return Turn(REVIEWS, workload)


def test_a_ready_lease_makes_an_endpoint(make: Make) -> None:
    machine = make(a="starting")
    assert machine.handle(Leased("a", "ready"), 1.0) == [turn("a")]
    assert machine.wanted("a") == "ready"


def test_a_lease_that_says_nothing_new_writes_nothing(make: Make) -> None:
    machine = make(a="ready")
    assert machine.handle(Leased("a", "ready"), 1.0) == []


def test_the_same_write_is_asked_for_once(make: Make) -> None:
    machine = make(a="starting")
    machine.handle(Leased("a", "ready"), 1.0)
    assert machine.handle(Leased("a", "ready"), 2.0) == []
    assert machine.handle(Stored(record(a="ready")), 2.1) == []


def test_a_failed_write_is_tried_again(make: Make) -> None:
    machine = make(a="starting")
    machine.handle(Leased("a", "ready"), 1.0)
    machine.handle(TurnFailed("a"), 1.1)
    assert machine.handle(Ticked(), 2.0) == [turn("a")]


def test_a_change_during_a_write_is_written_after_it(make: Make) -> None:
    machine = make(a="starting")
    machine.handle(Leased("a", "ready"), 1.0)
    assert machine.handle(Leased("a", "draining"), 1.1) == []
    assert machine.handle(Stored(record(a="ready")), 1.2) == [turn("a")]
    assert machine.wanted("a") == "draining"


def test_no_lease_brings_back_who_leaves(make: Make) -> None:
    machine = make(a="ready")
    assert machine.handle(Leaves("a"), 1.0) == [turn("a")]
    machine.handle(Stored(record(a="draining")), 1.1)
    assert machine.handle(Leased("a", "ready"), 1.2) == []
    assert machine.wanted("a") == "draining"


def test_who_leaves_is_checked_until_gone(make: Make) -> None:
    machine = make(a="ready")
    machine.handle(Leaves("a"), 1.0)
    assert CheckGone("a") in machine.handle(Ticked(), 2.0)
    machine.handle(Stored(record()), 2.1)
    assert machine.handle(Ticked(), 3.0) == []
    assert machine.wanted("a") is None


def test_a_silent_endpoint_leaves_and_is_checked(make: Make) -> None:
    machine = make(a="ready")
    assert machine.handle(Ticked(), 5.9) == []
    assert machine.handle(Ticked(), 6.0) == [turn("a"), CheckGone("a")]


def test_a_silent_endpoint_comes_back_with_its_lease(make: Make) -> None:
    machine = make(a="ready")
    machine.handle(Ticked(), 6.0)
    machine.handle(Stored(record(a="draining")), 6.1)
    assert machine.handle(Leased("a", "ready"), 60.0) == [turn("a")]


def test_a_silent_start_is_checked_and_otherwise_left_alone(make: Make) -> None:
    assert make(a="starting").handle(Ticked(), 6.0) == [CheckGone("a")]


def test_whom_neither_run_nor_sidecar_speaks_for_is_forgotten(make: Make) -> None:
    machine = make(a="ready", b="ready")
    for second in range(30):
        assert Forget("a") not in machine.handle(Ticked(), float(second))
        machine.handle(Reported("b"), float(second))
    effects = machine.handle(Ticked(), 30.0)
    assert Forget("a") in effects
    assert CheckGone("b") in effects  # its sidecar lives: only Ray knows whether for good


def test_silence_during_an_outage_counts_for_nothing(make: Make) -> None:
    machine = make(a="ready")
    machine.handle(Disconnected(), 1.0)
    assert machine.handle(Ticked(), 100.0) == []
    machine.handle(Connected(), 100.0)
    assert machine.handle(Ticked(), 105.9) == []
    assert machine.handle(Ticked(), 106.0) != []


def test_strangers_are_ignored(make: Make) -> None:
    machine = make(a="ready")
    for event in (Leased("z", "ready"), Leaves("z"), TurnFailed("z")):
        assert machine.handle(event, 1.0) == []


NAMES = ("a", "b", "c")
STATES: tuple[State, ...] = ("starting", "ready", "draining")
events: st.SearchStrategy[Event] = st.one_of(
    st.builds(Leased, st.sampled_from(NAMES), st.sampled_from(STATES)),
    st.builds(Leaves, st.sampled_from(NAMES)),
    st.builds(Reported, st.sampled_from(NAMES)),
    st.builds(TurnFailed, st.sampled_from(NAMES)),
    st.sampled_from([Connected(), Disconnected(), Ticked()]),
    st.dictionaries(st.sampled_from(NAMES), st.sampled_from(STATES)).map(
        lambda states: Stored(record(**states))
    ),
)


@settings(max_examples=100)
@given(st.lists(st.tuples(events, st.floats(0.0, 4.0)), max_size=40))
def test_registry_and_wish_agree_once_writes_succeed(script: list[tuple[Event, float]]) -> None:
    machine, now = SupervisorMachine(0.0), 0.0
    states: dict[str, State] = {}
    for event, pause in script:
        now += pause
        if isinstance(event, Stored):
            states = {one.id: one.state for one in event.service.workloads}
        machine.handle(event, now)
        assert machine.validate() == []
    for name in states:  # whatever was under way ends
        machine.handle(TurnFailed(name), now)
    effects: list[Effect] = machine.handle(Ticked(), now)
    while turns := [one for one in effects if isinstance(one, Turn)]:
        wanted = machine.wanted(turns[0].workload)
        assert wanted is not None
        states[turns[0].workload] = wanted
        effects = [*turns[1:], *machine.handle(Stored(record(**states)), now)]
    assert all(machine.wanted(name) == state for name, state in states.items())
