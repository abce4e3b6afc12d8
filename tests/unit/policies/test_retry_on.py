"""The words of retryOn."""

import pytest

from tulle.policies.retry_on import CONDITIONS, DEFAULT_RETRY_ON, RetryOn, split_retry_on


@pytest.mark.parametrize(
    ("text", "names", "statuses", "others"),
    [
        ("reset", ("reset",), (), ()),
        (" reset , 5xx,", ("5xx", "reset"), (), ()),
        ("503,429,503", ("retriable-status-codes",), (429, 503), ()),
        ("100,599,600,099", ("retriable-status-codes",), (100, 599), ("099", "600")),
        ("٥٠٣", (), (), ("٥٠٣",)),  # digits, but not ASCII
        ("Reset,reset", ("reset",), (), ("Reset",)),
        ("unavailable,nonsense", (), (), ("nonsense", "unavailable")),
        ("", (), (), ()),
    ],
)
def test_words_are_sorted_out(
    text: str, names: tuple[str, ...], statuses: tuple[int, ...], others: tuple[str, ...]
) -> None:
    assert split_retry_on(text) == RetryOn(names, statuses, others)


def test_every_condition_is_known_by_its_own_name() -> None:
    assert split_retry_on(",".join(CONDITIONS)).names == tuple(sorted(CONDITIONS))


def test_the_default_is_made_of_known_words() -> None:
    assert split_retry_on(DEFAULT_RETRY_ON).others == ()
