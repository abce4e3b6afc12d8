"""Conditions on bytes, against a plain reading of what they mean."""

import pytest
import re2  # type: ignore[import-untyped]
from hypothesis import given, settings
from hypothesis import strategies as st

from tulle.policies.config import HttpMatch, StringMatch
from tulle.policies.decide.match import (
    Headers,
    asks_query,
    compile_matches,
    compile_value,
    header_value,
    query_values,
)

words = st.sampled_from(["", "/", "/a", "/A", "/a/b", "/ab", "x", "é"])
plain_matches = st.builds(
    StringMatch, st.sampled_from(["exact", "prefix", "present"]), words, st.booleans()
)
string_matches = plain_matches | st.builds(StringMatch, st.just("regex"), st.just("/[aA].*"))
named_matches = st.lists(st.tuples(st.sampled_from(["h", "i"]), string_matches), max_size=2).map(
    tuple
)
http_matches = st.builds(
    HttpMatch,
    uri=st.none() | string_matches,
    method=st.none() | string_matches,
    authority=st.none() | string_matches,
    headers=named_matches,
    without_headers=named_matches,
)
queries = st.lists(
    st.sampled_from(["h", "h=", "h=/a", "h=x", "i=/A", "i=/", "=", "", "hh=/a"]), max_size=3
).map("&".join)
asking = st.builds(
    HttpMatch,
    uri=st.none() | string_matches,
    headers=named_matches,
    without_headers=named_matches,
    query=named_matches,
)
header_lists = st.lists(
    st.tuples(st.sampled_from([b"h", b"i", b"j"]), words.map(str.encode)), max_size=3
)


def holds(match: StringMatch, value: bytes) -> bool:
    """What a match means, said as simply as it can be."""
    wanted = match.value.encode()
    if match.ignore_case and match.kind != "regex":
        wanted, value = wanted.lower(), value.lower()
    return {
        "exact": value == wanted,
        "prefix": value.startswith(wanted),
        "present": True,
        "regex": re2.fullmatch(wanted, value) is not None,
    }[match.kind]


def all_hold(
    match: HttpMatch, method: bytes, path: bytes, authority: bytes, headers: Headers
) -> bool:
    parts = [(match.method, method), (match.uri, path), (match.authority, authority)]
    joined = {name: b",".join(v for n, v in headers if n == name) for name, _ in headers}

    def there(name: str, m: StringMatch) -> bool:
        return name.encode() in joined and holds(m, joined[name.encode()])

    return (
        all(m is None or holds(m, value) for m, value in parts)
        and all(there(name, m) for name, m in match.headers)
        and not any(there(name, m) for name, m in match.without_headers)
    )


def query_holds(match: HttpMatch, query: str) -> bool:
    """What the conditions on a query mean: of each name the first value counts."""
    for name, m in match.query:
        given = [part for part in query.split("&") if part.split("=", 1)[0] == name]
        if not given or not holds(m, given[0].partition("=")[2].encode()):
            return False
    return True


@given(st.lists(http_matches, max_size=3), words, words, words, header_lists)
@settings(max_examples=300)
def test_matches_mean_what_they_say(
    matches: list[HttpMatch], method: str, path: str, authority: str, headers: Headers
) -> None:
    request = (method.encode(), path.encode(), authority.encode(), headers)
    test = compile_matches(matches)
    expected = not matches or any(all_hold(match, *request) for match in matches)
    assert (True if test is None else test(*request)) == expected


@given(st.lists(asking, max_size=3), words, queries, header_lists)
@settings(max_examples=300)
def test_queries_mean_what_they_say(
    matches: list[HttpMatch], path: str, query: str, headers: Headers
) -> None:
    target = f"{path}?{query}".encode()
    test = compile_matches(matches)
    expected = not matches or any(
        all_hold(match, b"", path.encode(), b"", headers) and query_holds(match, query)
        for match in matches
    )
    given = target if asks_query(matches) else path.encode()
    assert (True if test is None else test(b"", given, b"", headers)) == expected


@given(st.lists(words), st.lists(words), words)
def test_plain_paths_are_one_look_up(exact: list[str], prefixes: list[str], path: str) -> None:
    matches = [HttpMatch(uri=StringMatch("exact", text)) for text in exact]
    matches += [HttpMatch(uri=StringMatch("prefix", text)) for text in prefixes]
    test = compile_matches(matches)
    expected = path in exact or any(path.startswith(prefix) for prefix in prefixes)
    assert (True if test is None else test(b"", path.encode(), b"", [])) == (
        expected or not matches
    )


def test_a_regex_must_match_the_whole_value() -> None:
    test = compile_value(StringMatch("regex", "/api/v[12]"))
    assert test(b"/api/v1")
    assert not test(b"/api/v10") and not test(b"x/api/v1")


def test_bytes_that_are_no_text_match_nothing_and_raise_nothing() -> None:
    assert not compile_value(StringMatch("regex", "a."))(b"a\xff")
    assert not compile_value(StringMatch("exact", "aÿ"))(b"a\xff")


def test_a_repeated_header_is_one_value() -> None:
    headers = [(b"a", b"1"), (b"b", b"2"), (b"a", b"3")]
    assert header_value(headers, b"a") == b"1,3"
    assert header_value(headers, b"b") == b"2"
    assert header_value(headers, b"c") is None


@pytest.mark.parametrize(
    ("query", "values"),
    [
        (b"a=1&b&a=2", {b"a": b"1", b"b": b""}),
        (b"a=b=c", {b"a": b"b=c"}),
        (b"A=%61&a=+", {b"A": b"%61", b"a": b"+"}),
    ],
)
def test_a_query_is_read_as_written(query: bytes, values: dict[bytes, bytes]) -> None:
    assert query_values(query) == values


@pytest.mark.parametrize("matches", [(), (HttpMatch(),), (HttpMatch(method=None), HttpMatch())])
def test_nothing_to_ask_is_no_test(matches: tuple[HttpMatch, ...]) -> None:
    assert compile_matches(matches) is None
