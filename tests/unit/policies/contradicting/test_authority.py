"""Authorities that may be sent as Host, or stand in a location."""

import pytest

from tests.support.policy_checks import ROUTE, only, said

GOOD = ["reviews", "reviews.default:9080", "A.Example", "10.0.0.1", "[::1]", "[::1]:80", "a_b"]
BAD = ["a b", "a:", "a:x", "http://a", "a/b", "::1", "a:123456", "[]", "a@b"]


@pytest.mark.parametrize("authority", GOOD)
def test_what_may_be_a_host(authority: str) -> None:
    assert said(f"{ROUTE}, rewrite: {{authority: '{authority}'}}") == []


@pytest.mark.parametrize("authority", BAD)
def test_what_may_not(authority: str) -> None:
    for rule, path in ((f"{ROUTE}, rewrite", "rewrite"), ("redirect", "redirect")):
        code, where, message = only(f"{rule}: {{authority: '{authority}'}}")
        assert (code, where) == ("schema", f"{path}.authority")
        assert "must be a host, like reviews" in message


def test_no_line_is_smuggled_in() -> None:
    assert only(f'{ROUTE}, rewrite: {{authority: "a\\r\\nb: c"}}')[0] == "schema"
    assert only(f'{ROUTE}, rewrite: {{authority: "a\\n"}}')[0] == "schema"
