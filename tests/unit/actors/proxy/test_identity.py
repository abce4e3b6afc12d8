"""When a certificate is renewed, and how often a refused request is repeated."""

from hypothesis import given
from hypothesis import strategies as st

from tulle.actors.proxy.identity import RETRY_LONGEST, renew_after, retry_after

UNIFORM = st.floats(min_value=0, max_value=1, exclude_max=True)


def test_a_renewal_is_due_at_half_life_with_jitter() -> None:
    assert renew_after(not_after=1100.0, now=1000.0, uniform=0.5) == 50.0
    assert renew_after(1100.0, 1000.0, 0.0) == 45.0
    assert renew_after(900.0, 1000.0, 0.5) == 0.0


@given(st.integers(min_value=1, max_value=10_000), UNIFORM)
def test_retries_come_later_and_later_up_to_a_bound(failures: int, uniform: float) -> None:
    pause = retry_after(failures, uniform)
    assert 0.1 <= pause <= RETRY_LONGEST
    assert pause <= retry_after(failures + 2, uniform) or pause >= RETRY_LONGEST / 2
