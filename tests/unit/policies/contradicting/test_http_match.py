"""Conditions that can't be meant."""

import pytest

from tests.support.policy_checks import ROUTE, only, said


@pytest.mark.parametrize(
    "match",
    [
        "withoutHeaders: {x-a: {}, x-b: {regex: '*'}}",
        "queryParams: {a: {exact: ''}, b: {}, 'c d': {prefix: x}}",
        "scheme: {exact: https}, sourceNamespace: shop, sourceLabels: {app.kubernetes.io/name: a}",
        "method: {exact: OPTIONS}, uri: {exact: '*'}",
        "port: 65535, ignoreUriCase: true, uri: {regex: /a.*}",
    ],
)
def test_what_makes_sense(match: str) -> None:
    assert said(f"{ROUTE}, match: [{{{match}}}]") == []


@pytest.mark.parametrize(
    ("match", "code", "path", "message"),
    [
        ("uri: {prefix: ''}", "schema", "uri.prefix", "must not be empty"),
        ("uri: {prefix: a}", "contradiction?", "uri.prefix", "never holds: every path begins"),
        ("uri: {exact: ''}", "contradiction?", "uri.exact", "never holds"),
        ("scheme: {}", "schema", "scheme", "must have one of exact, prefix, regex"),
        ("uri: {regex: '*'}", "schema", "uri", "must have one of exact, prefix, regex"),
        ("withoutHeaders: {':method': {}}", "contradiction", 'withoutHeaders[":method"]', "method"),
        ("withoutHeaders: {'a b': {}}", "schema", 'withoutHeaders["a b"]', "not a valid name"),
        ("headers: {x-a: {}, X-A: {}}", "duplicate", "headers.X-A", "have no case"),
        ("withoutHeaders: {x-a: {}, X-A: {}}", "duplicate", "withoutHeaders.X-A", "have no case"),
        ("queryParams: {'': {}}", "schema", "queryParams", "must have a name"),
        ("port: 0", "schema", "port", "from 1 to 65535"),
        ("port: 65536", "schema", "port", "from 1 to 65535"),
        ("sourceNamespace: '*'", "schema", "sourceNamespace", "must name one namespace"),
    ],
)
def test_what_does_not(match: str, code: str, path: str, message: str) -> None:
    found = only(f"{ROUTE}, match: [{{{match}}}]")
    assert found[:2] == (code, f"match[0].{path}")
    assert message in found[2]
