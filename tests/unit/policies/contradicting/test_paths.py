"""Rewrites and redirects: paths that may be sent, prefixes that fit what replaces them."""

import pytest

from tests.support.policy_checks import ROUTE, only, said


@pytest.mark.parametrize(
    "rule",
    [
        f"{ROUTE}, rewrite: {{uri: /, authority: a}}",
        f"{ROUTE}, rewrite: {{authority: a}}",
        f"{ROUTE}, rewrite: {{uriRegexRewrite: {{match: '/(.*)', rewrite: '/x/\\1'}}}}",
        f"{ROUTE}, match: [{{uri: {{prefix: /a/}}}}, {{uri: {{exact: /a}}}}], rewrite: {{uri: /}}",
        f"{ROUTE}, match: [{{uri: {{prefix: /a}}}}], rewrite: {{uri: /b}}",
        f"{ROUTE}, match: [{{uri: {{regex: '/a.*'}}}}], rewrite: {{uri: /b}}",
        "redirect: {uri: '/a?b=c#d', redirectCode: 303}",
        "redirect: {scheme: https}",
        "redirect: {port: 8080}",
        "redirect: {derivePort: FROM_REQUEST_PORT}",
        "redirect: {prefixRewrite: /}",
        "redirect: {uri: /a%20b}",
    ],
)
def test_what_makes_sense(rule: str) -> None:
    assert said(rule) == []


REGEX = f"{ROUTE}, rewrite: {{uriRegexRewrite: "


@pytest.mark.parametrize(
    ("rule", "code", "path", "message"),
    [
        (f"{ROUTE}, rewrite: {{}}", "contradiction", "rewrite", "needs uri, uriRegexRewrite or"),
        (f"{ROUTE}, rewrite: {{uri: a}}", "schema", "rewrite.uri", "must begin with /"),
        (f"{ROUTE}, rewrite: {{uri: '/a b'}}", "schema", "rewrite.uri", "visible ASCII"),
        (f"{ROUTE}, rewrite: {{uri: '/ä'}}", "schema", "rewrite.uri", "visible ASCII"),
        (f'{ROUTE}, rewrite: {{uri: "/a\\r\\nb/"}}', "schema", "rewrite.uri", "visible ASCII"),
        (f"{ROUTE}, rewrite: {{uri: '/?a/'}}", "schema", "rewrite.uri", "without ?, without #"),
        (
            f"{ROUTE}, rewrite: {{uri: /, uriRegexRewrite: {{match: a, rewrite: b}}}}",
            "contradiction",
            "rewrite.uriRegexRewrite",
            "exclude each other",
        ),
        (f"{REGEX}{{match: a}}}}", "contradiction", "rewrite.uriRegexRewrite", "both match and"),
        (f"{REGEX}{{rewrite: a}}}}", "contradiction", "rewrite.uriRegexRewrite", "both match and"),
        (
            f"{REGEX}{{match: '(a)', rewrite: '\\2'}}}}",
            "schema",
            "rewrite.uriRegexRewrite.rewrite",
            "\\2 is neither \\\\ nor one of the groups \\0 to \\1",
        ),
        (
            f"{REGEX}{{match: 'a', rewrite: '/a?b'}}}}",
            "schema",
            "rewrite.uriRegexRewrite.rewrite",
            "without ?",
        ),
        (
            f"{REGEX}{{match: '*', rewrite: '/a'}}}}",
            "schema",
            "rewrite.uriRegexRewrite.rewrite",
            "no argument for repetition operator",
        ),
        (
            f"{ROUTE}, match: [{{uri: {{prefix: /a}}}}], rewrite: {{uri: /}}",
            "contradiction?",
            "rewrite.uri",
            "turns /a/x into //x",
        ),
        (
            f"{ROUTE}, match: [{{uri: {{prefix: /a/}}}}], rewrite: {{uri: /b}}",
            "contradiction?",
            "rewrite.uri",
            "turns /a/x into /bx",
        ),
        (f"{ROUTE}, rewrite: {{uri: /b}}", "contradiction?", "rewrite.uri", "turns /x into /bx"),
        ("redirect: {}", "contradiction", "redirect", "needs one of uri, prefixRewrite"),
        ("redirect: {redirectCode: 302}", "contradiction", "redirect", "needs one of uri"),
        (
            "redirect: {uri: /, redirectCode: 300}",
            "schema",
            "redirect.redirectCode",
            "must be one of 301, 302, 303, 307, 308",
        ),
        ("redirect: {scheme: ftp}", "schema", "redirect.scheme", "must be http or https"),
        ("redirect: {port: 65536}", "schema", "redirect.port", "must be from 1 to 65535"),
        ("redirect: {uri: a}", "schema", "redirect.uri", "must begin with /"),
        ('redirect: {uri: "/a\\r\\nb: c"}', "schema", "redirect.uri", "visible ASCII"),
        (
            "redirect: {uri: '/%PREFIX()%/x'}",
            "not-supported-yet",
            "redirect.uri",
            "use prefixRewrite",
        ),
        (
            "redirect: {uri: /a, prefixRewrite: /}",
            "contradiction",
            "redirect.prefixRewrite",
            "exclude each other",
        ),
        (
            "match: [{uri: {prefix: /a}}], redirect: {prefixRewrite: /b/}",
            "contradiction?",
            "redirect.prefixRewrite",
            "turns /a/x into /b//x",
        ),
    ],
)
def test_what_does_not(rule: str, code: str, path: str, message: str) -> None:
    found = only(rule)
    assert found[:2] == (code, path)
    assert message in found[2]
