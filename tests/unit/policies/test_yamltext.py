"""YAML as text -> JSON values with lines; bounded, and never an exception."""

import json

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tulle.policies import yamltext
from tulle.policies.yamlscalar import Json, plain_scalar
from tulle.policies.yamltext import read_yaml

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(
        st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\ufeff\ufffe\uffff")
    ),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(categories=("L", "N"))), inner, max_size=4)
    ),
    max_leaves=20,
)


def only(text: str) -> Json:
    trees, faults = read_yaml(text)
    assert faults == []
    [tree] = trees
    return tree.value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a", "a"),
        ('{"<<": null}', {"<<": None}),
        ("''", ""),
        ('"1"', "1"),
        ("1", 1),
        ("-17", -17),
        ("0x1F", 31),
        ("0777", 511),
        ("0o17", 15),
        ("1.5", 1.5),
        ("-.5e3", -500.0),
        ("1e3", 1000.0),
        ("true", True),
        ("no", False),
        ("On", True),
        ("y", "y"),
        ("null", None),
        ("~", None),
        ("!!str 1", "1"),
        ("! 1", "1"),
        # YAML 1.1 traps: Kubernetes reads these as strings, and so do we.
        ("2026-01-01", "2026-01-01"),
        ("12:30:45", "12:30:45"),
        ("1_000", "1_000"),
        ("1.2.3", "1.2.3"),
        (".nan", ".nan"),
        ("+", "+"),
        ("--", "--"),
    ],
)
def test_scalars_are_read_as_kubernetes_reads_them(text: str, value: Json) -> None:
    assert only(f"v: {text}") == {"v": value}


@pytest.mark.parametrize("text", ["9223372036854775808", "-0x8000000000000001", "1e999"])
def test_numbers_that_json_cannot_say_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="quote it"):
        plain_scalar(text)
    [fault] = read_yaml(f"a:\n  b: {text}")[1]
    assert (fault.line, fault.path) == (2, ("a", "b"))


def test_every_field_has_its_line() -> None:
    [tree], _ = read_yaml("a: 1\nb:\n- x\n- y: 2\n  z: [3,\n   4]\n")
    assert tree.lines == {
        (): 1,
        ("a",): 1,
        ("b",): 2,
        ("b", 0): 3,
        ("b", 1): 4,
        ("b", 1, "y"): 4,
        ("b", 1, "z"): 5,
        ("b", 1, "z", 0): 5,
        ("b", 1, "z", 1): 6,
    }


def test_documents_are_separate_and_empty_ones_do_not_count() -> None:
    trees, faults = read_yaml("---\n# nothing\n---\na: 1\n---\n---\nb: 2\n---\nnull\n")
    assert faults == []
    assert [(tree.value, tree.lines[()]) for tree in trees] == [({"a": 1}, 4), ({"b": 2}, 7)]


def test_after_a_broken_document_reading_goes_on() -> None:
    trees, faults = read_yaml('a: 1\n---\nb: "x\n---\nc: [1\n---\nd: 4\n---\ne: @\n')
    assert [tree.value for tree in trees] == [{"a": 1}, {"d": 4}]
    assert [(fault.code, fault.line) for fault in faults] == [("yaml", 4), ("yaml", 6), ("yaml", 9)]


def test_after_many_broken_documents_reading_ends() -> None:
    trees, faults = read_yaml("a: @\n---\n" * 500)
    assert trees == []
    assert len(faults) == yamltext.MAX_RESTARTS + 1


def test_a_key_given_twice_is_refused_with_both_lines() -> None:
    trees, [fault] = read_yaml("a: 1\nb: 2\na: {c: 1}\n")
    assert trees[0].value == {"a": 1, "b": 2}
    assert (fault.code, fault.line, fault.path) == ("duplicate", 3, ("a",))
    assert fault.message == '"a" is already given in line 1'


def test_keys_are_words_whatever_they_look_like() -> None:
    assert only("on: 1\n1: 2\n1.50: 3\n") == {"on": 1, "1": 2, "1.50": 3}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("? [a]\n: 1\n", "a key must be a plain word"),
        ("a: !!python/object:os.system x\n", "the tag tag:yaml.org,2002:python/object:os.system"),
        ("a: !!binary aGk=\n", "the tag tag:yaml.org,2002:binary is not supported"),
        ("a: !mine {b: 1}\n", "the tag !mine is not supported"),
        ("a: *b\n", "the alias *b has no anchor before it"),
        ("a: &b [*b]\n", "the alias *b has no anchor before it"),
        ("a: &x {b: 1}\nc:\n  <<: *x\n", "merge keys (<<) are not supported"),
        ("a: \x00\n", "not YAML: "),
        ("a: \ud800\n", "not YAML: "),
        ("\tb: 1\n", "not YAML: found a tab: indent with spaces"),
    ],
)
def test_what_json_or_a_policy_cannot_say_is_refused(text: str, message: str) -> None:
    _, faults = read_yaml(text)
    assert any(message in fault.message for fault in faults), faults


def test_aliases_mean_what_their_anchors_say() -> None:
    assert only("a: &x {b: [1]}\nc: *x\nd: [*x, &s y, *s]\n") == {
        "a": {"b": [1]},
        "c": {"b": [1]},
        "d": [{"b": [1]}, "y", "y"],
    }


def test_a_billion_laughs_end_at_the_bound() -> None:
    text = "a0: &a0 [x]\n" + "".join(
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12)
    )
    trees, [fault] = read_yaml(text)
    assert trees == []
    assert "aliases expanded" in fault.message


@pytest.mark.parametrize(
    "text", ["[" * 100_000, "{a: " * 5_000, "- " * 5_000, "a:\n" + "? " * 5_000]
)
def test_depth_is_bounded(text: str) -> None:
    trees, faults = read_yaml(text)
    assert trees == []
    assert any("nested deeper than 64" in fault.message for fault in faults)


def test_size_is_bounded() -> None:
    trees, [fault] = read_yaml("a" * (yamltext.MAX_BYTES + 1))
    assert trees == []
    assert "split it" in fault.message


@given(json_values)
@settings(max_examples=100)
def test_what_was_written_is_what_is_read(value: Json) -> None:
    """Any JSON value, written as YAML in block style, is read back as it was."""
    text = yaml.dump({"v": value}, Dumper=yaml.CSafeDumper, allow_unicode=True)
    assert only(text) == {"v": value}


@given(st.dictionaries(st.text(st.characters(max_codepoint=126, min_codepoint=32)), json_values))
@settings(max_examples=50)
def test_json_is_yaml(value: dict[str, Json]) -> None:
    assert only(json.dumps(value, ensure_ascii=False)) == value


@given(
    st.text(st.sampled_from("ab:{}[]-,&*!|>?#%@'\"\\\n\t \x00\ud800é~<=0.")) | st.text(max_size=200)
)
@settings(max_examples=300)
def test_no_text_raises(text: str) -> None:
    trees, _ = read_yaml(text)
    for tree in trees:
        json.dumps(tree.value)
