"""Edits as one pass, against doing them one after another."""

from hypothesis import given
from hypothesis import strategies as st

from tulle.policies.config import HeaderEdits
from tulle.policies.decide.headers import (
    authority_of,
    compile_request_edits,
    compile_response_edits,
)
from tulle.policies.decide.match import Headers

names = st.sampled_from(["a", "b", "c"])
values = st.sampled_from(["1", "2", "a: b"])
pairs = st.dictionaries(names, values, max_size=2).map(lambda found: tuple(found.items()))
edits = st.builds(HeaderEdits, st.lists(names, max_size=2, unique=True).map(tuple), pairs, pairs)
headers = st.lists(st.tuples(names.map(str.encode), values.map(str.encode)), max_size=4)


def edited(given: Headers, edit: HeaderEdits) -> Headers:
    """What edits mean, said as simply as it can be."""
    for name in edit.remove:
        given = [pair for pair in given if pair[0] != name.encode()]
    for name, value in edit.set:
        given = [pair for pair in given if pair[0] != name.encode()]
        given.append((name.encode(), value.encode()))
    return given + [(name.encode(), value.encode()) for name, value in edit.add]


@given(headers, st.lists(edits | st.none(), max_size=3))
def test_several_edits_are_one_after_another(
    given: Headers, all_edits: list[HeaderEdits | None]
) -> None:
    expected = given
    for edit in all_edits:
        expected = expected if edit is None else edited(expected, edit)
    before = list(given)
    compiled = compile_request_edits(all_edits)
    found = given if compiled is None else compiled(given)
    assert found == expected
    assert given == before


@given(headers, st.lists(edits, max_size=2))
def test_responses_are_edited_as_requests_are(given: Headers, all_edits: list[HeaderEdits]) -> None:
    lines = [b"%b:%b" % (name.upper(), value) for name, value in given]
    on_lines, on_pairs = compile_response_edits(all_edits), compile_request_edits(all_edits)
    found = lines if on_lines is None else on_lines(lines)
    expected = given if on_pairs is None else on_pairs(given)
    parts = [line.split(b":", 1) for line in found]
    assert [(name.lower(), value.strip()) for name, value in parts] == expected


def test_nothing_to_do_is_no_closure() -> None:
    assert compile_request_edits([]) is None
    assert compile_response_edits([None, HeaderEdits()]) is None


def test_what_is_kept_keeps_its_bytes() -> None:
    edit = compile_response_edits([HeaderEdits(remove=("x",))])
    assert edit is not None
    assert edit([b"Server:  a : b", b"X: 1", b"ETag:\xff"]) == [b"Server:  a : b", b"ETag:\xff"]


def test_an_authority_is_no_header() -> None:
    edit = HeaderEdits(set=((":authority", "a"), ("b", "1")))
    assert authority_of(edit) == "a"
    assert authority_of(HeaderEdits()) == authority_of(None) == ""
    compiled = compile_request_edits([edit])
    assert compiled is not None and compiled([(b"host", b"x")]) == [(b"host", b"x"), (b"b", b"1")]
    assert compile_request_edits([HeaderEdits(set=((":authority", "a"),))]) is None
