"""Rewrites of a path keep its query."""

import pytest

from tulle.policies.config import Rewrite
from tulle.policies.decide.rewrites import compile_path_rewrite, replace_path


@pytest.mark.parametrize(
    ("rewrite", "path", "result"),
    [
        (Rewrite("full", "", "/x"), b"/a/b", b"/x"),
        (Rewrite("full", "", "/x"), b"/a?/b?c", b"/x?/b?c"),
        (Rewrite("prefix", "/a", "/x"), b"/a/b?q", b"/x/b?q"),
        (Rewrite("prefix", "/a", "/x"), b"/A/b", b"/x/b"),
        (Rewrite("prefix", "/a/", "/"), b"/a/b", b"/b"),
        (Rewrite("prefix", "/a/", "/"), b"/a/?q", b"/?q"),
        (Rewrite("regex", "b", "c"), b"/b?b", b"/c?b"),
        (Rewrite("regex", "^/(.*)$", r"/\1/\1"), b"/a?", b"/a/a?"),
        (Rewrite("regex", ".*", ""), b"/a?q", b"/?q"),
        (Rewrite("regex", "^", "x"), b"/a", b"/x/a"),
        (Rewrite("regex", "a", "b"), b"/\xff/a", b"/\xff/b"),
    ],
)
def test_rewrites(rewrite: Rewrite, path: bytes, result: bytes) -> None:
    compiled = compile_path_rewrite(rewrite)
    assert compiled is not None and compiled(path) == result


@pytest.mark.parametrize("rewrite", [None, Rewrite(), Rewrite(authority="a")])
def test_no_rewrite_of_the_path_is_no_closure(rewrite: Rewrite | None) -> None:
    assert compile_path_rewrite(rewrite) is None


def test_a_path_with_a_query_of_its_own_replaces_both() -> None:
    assert replace_path(b"/x?y")(b"/a?b") == b"/x?y"
