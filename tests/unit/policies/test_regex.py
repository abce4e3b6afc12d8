"""Regular expressions as RE2 has them: whole matches, and replacements."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tulle.policies.regex import BadRegex, compile_regex, compile_substitution


def test_a_match_is_of_the_whole_value() -> None:
    matches = compile_regex("/a+")
    assert matches(b"/aa")
    assert not matches(b"/aab") and not matches(b"x/aa")


@pytest.mark.parametrize("text", ["(", "*", "[", r"a\1", "(?=a)"])
def test_what_is_not_of_re2_is_refused(text: str) -> None:
    with pytest.raises(BadRegex):
        compile_regex(text)
    with pytest.raises(BadRegex):
        compile_substitution(text, "x")


@pytest.mark.parametrize(
    ("pattern", "template", "value", "result"),
    [
        ("a", "bb", b"xaya", b"xbbybb"),
        ("^a", "b", b"aa", b"ba"),
        ("(a)(b)?", r"[\2\1]", b"ab-a", b"[ba]-[a]"),
        ("(a+)", r"\0\0", b"xaax", b"xaaaax"),
        ("/", r"\\", b"a/b", rb"a\b"),
        (".*", "x", b"abc", b"x"),
        (".*", "x", b"", b"x"),
        ("b*", "-", b"abc", b"-a-c-"),
        ("z", "x", b"abc", b"abc"),
        ("a", "", b"banana", b"bnn"),
        (r"\xe4", "ae", "ä".encode(), b"ae"),
    ],
)
def test_replacements_are_those_of_re2(
    pattern: str, template: str, value: bytes, result: bytes
) -> None:
    """Expected values are what RE2::GlobalReplace gives."""
    assert compile_substitution(pattern, template)(value) == result


@pytest.mark.parametrize("template", [r"\1", "\\", r"\x", r"a\9b"])
def test_what_is_behind_a_backslash_must_be_there(template: str) -> None:
    with pytest.raises(BadRegex, match="neither"):
        compile_substitution("a", template)


@given(st.binary(max_size=20))
def test_any_bytes_may_come(value: bytes) -> None:
    assert compile_substitution("(a|b)+", r"<\0>")(value).replace(b"<", b"").replace(
        b">", b""
    ) == value.replace(b"<", b"").replace(b">", b"")
