"""Names of headers, and names that differ in case alone."""

import pytest

from tulle.policies.contradicting.names import is_header_name, repeated_ignoring_case


@pytest.mark.parametrize("name", ["a", "X-Team", "x_y", "a!#$%&'*+.^`|~9"])
def test_a_token_is_the_name_of_a_header(name: str) -> None:
    assert is_header_name(name)


@pytest.mark.parametrize("name", ["", "a b", "a:", "a\n", "ä", "a" * 257, "(a)"])
def test_anything_else_is_none(name: str) -> None:
    assert not is_header_name(name)


def test_the_later_of_two_names_is_repeated() -> None:
    assert list(repeated_ignoring_case(["a", "b", "A", "c", "B", "b"])) == ["A", "B", "b"]
