"""How long a keeper waits before it tries again."""

from tulle.bus.keeper import LONGEST_PAUSE, SHORTEST_PAUSE, _pause


def test_pauses_double_up_to_a_limit_and_a_part_of_each_is_chance() -> None:
    for attempt in range(40):
        longest = min(LONGEST_PAUSE, SHORTEST_PAUSE * 2.0 ** min(attempt, 10))
        pauses = {_pause(attempt) for _ in range(50)}
        assert all(longest / 2 <= pause <= longest for pause in pauses)
        assert len(pauses) > 10  # clients of one server don't come back at one moment


def test_an_outage_of_hours_is_no_overflow() -> None:
    assert 0 < _pause(10**9) <= LONGEST_PAUSE
