"""The coarse timer: what is armed is asked in time, and not before."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.fake_loop import ManualLoop
from tulle.actors.proxy.wheel import NOT_ARMED, QUIET, TICK, Wheel


class Item:
    """Asked again `every` seconds, `times` times."""

    def __init__(self, every: float = 0, times: int = 0) -> None:
        self.slot = NOT_ARMED
        self.asked: list[float] = []
        self._every = every
        self._times = times

    def on_time(self, now: float) -> float | None:
        self.asked.append(now)
        return now + self._every if len(self.asked) <= self._times else None


@settings(max_examples=60)
@given(st.lists(st.floats(0, 400), min_size=1, max_size=5))
def test_each_is_asked_once_at_most_two_ticks_late(delays: list[float]) -> None:
    loop = ManualLoop()
    wheel = Wheel(loop)
    items = [Item() for _ in delays]
    start = loop.now
    for item, delay in zip(items, delays, strict=True):
        wheel.arm(item, wheel.after(delay))
    loop.advance(402)
    for item, delay in zip(items, delays, strict=True):
        (at,) = item.asked
        assert delay <= at - start <= delay + 2 * TICK + 1e-6
    assert loop.timers == 0


@settings(max_examples=60)
@given(st.lists(st.tuples(st.floats(0, 3), st.floats(0, 3)), min_size=1, max_size=5))
def test_what_is_armed_while_it_sleeps_is_asked_in_time(steps: list[tuple[float, float]]) -> None:
    loop = ManualLoop()
    wheel = Wheel(loop)
    wheel.arm(Item(), wheel.after(300))
    armed = []
    for pause, delay in steps:
        loop.advance(pause)
        item = Item()
        armed.append((item, loop.now + delay))
        wheel.arm(item, loop.now + delay)
    loop.advance(4)
    for item, due in armed:
        (at,) = item.asked
        assert due <= at <= due + 2 * TICK + 1e-6


def test_it_wakes_less_often_while_nothing_is_due_soon() -> None:
    loop = ManualLoop()
    wheel, far = Wheel(loop), Item()
    wheel.arm(far, wheel.after(300))
    loop.advance(1)
    fired = loop.fired
    loop.advance(100)
    assert loop.fired - fired <= 100 / (QUIET * TICK) + 1
    assert wheel.now >= loop.now - (QUIET + 1) * TICK
    loop.advance(200)
    assert len(far.asked) == 1


def test_the_earliest_time_wins() -> None:
    loop = ManualLoop()
    wheel, item = Wheel(loop), Item()
    wheel.arm(item, loop.now + 10)
    wheel.arm(item, loop.now + 1)
    wheel.arm(item, loop.now + 5)
    loop.advance(20)
    assert len(item.asked) == 1
    assert item.asked[0] - 1_000 < 1.2


def test_it_asks_again_when_told() -> None:
    loop = ManualLoop()
    wheel, item = Wheel(loop), Item(every=1, times=3)
    wheel.arm(item, loop.now + 1)
    loop.advance(10)
    assert len(item.asked) == 4
    assert loop.timers == 0


def test_a_disarmed_item_is_not_asked_and_nothing_ticks_for_nobody() -> None:
    loop = ManualLoop()
    wheel, item = Wheel(loop), Item()
    wheel.arm(item, loop.now + 100)
    wheel.disarm(item)
    wheel.disarm(item)
    loop.advance(2 * TICK)
    assert loop.timers == 0
    wheel.arm(item, loop.now + 1)
    loop.advance(2)
    assert len(item.asked) == 1


def test_one_may_disarm_another_that_is_due_with_it() -> None:
    loop = ManualLoop()
    wheel, other = Wheel(loop), Item()

    class Disarms(Item):
        def on_time(self, now: float) -> float | None:
            wheel.disarm(other)
            return None

    wheel.arm(Disarms(), loop.now + 1)
    wheel.arm(other, loop.now + 1)
    loop.advance(3)
    assert not other.asked


def test_a_loop_that_was_busy_asks_all_that_was_missed() -> None:
    loop = ManualLoop()
    wheel, items = Wheel(loop), [Item(), Item()]
    wheel.arm(items[0], loop.now + 1)
    wheel.arm(items[1], loop.now + 3)
    loop.now += 5
    loop.advance(0.1)
    assert [len(item.asked) for item in items] == [1, 1]


def test_an_item_that_fails_stops_no_other(caplog: pytest.LogCaptureFixture) -> None:
    loop = ManualLoop()
    wheel, other = Wheel(loop), Item(every=1, times=2)

    class Fails(Item):
        def on_time(self, now: float) -> float | None:
            raise ValueError("no")

    wheel.arm(Fails(), loop.now + 1)
    wheel.arm(other, loop.now + 1)
    loop.advance(5)
    assert len(other.asked) == 3
    assert "what was due failed" in caplog.text
