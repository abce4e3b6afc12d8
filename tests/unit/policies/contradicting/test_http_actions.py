"""Actions that exclude each other, and direct responses."""

import pytest

from tests.support.policy_checks import ROUTE, only, said


@pytest.mark.parametrize(
    "rule",
    [
        ROUTE,
        "redirect: {uri: /}",
        "directResponse: {status: 200}",
        "directResponse: {status: 200, body: {string: hello}}",
        "directResponse: {status: 599, body: {bytes: aGk=}}",
        "directResponse: {status: 204, body: {string: ''}}",
        f"{ROUTE}, timeout: 1s, retries: {{attempts: 1}}, rewrite: {{uri: /}}",
    ],
)
def test_what_makes_sense(rule: str) -> None:
    assert said(rule) == []


@pytest.mark.parametrize(
    ("rule", "code", "path", "message"),
    [
        ("name: x", "contradiction", "", "needs a route with a destination, a redirect or a dir"),
        (
            f"{ROUTE}, redirect: {{uri: /}}",
            "contradiction",
            "redirect",
            "route and redirect exclude each other",
        ),
        (
            "redirect: {uri: /}, directResponse: {status: 200}",
            "contradiction",
            "directResponse",
            "redirect and directResponse exclude each other",
        ),
        (
            "redirect: {uri: /}, rewrite: {authority: x}",
            "contradiction",
            "rewrite",
            "rewrite can't be given with redirect",
        ),
        (
            "directResponse: {status: 200}, fault: "
            "{abort: {httpStatus: 500, percentage: {value: 1}}}",
            "contradiction",
            "fault",
            "fault can't be given with directResponse",
        ),
        ("redirect: {uri: /}, timeout: 1s", "contradiction?", "timeout", "has no effect"),
        (
            "directResponse: {status: 200}, retries: {attempts: 1}",
            "contradiction?",
            "retries",
            "retries has no effect with directResponse",
        ),
        ("directResponse: {status: 199}", "schema", "directResponse.status", "from 200 to 599"),
        ("directResponse: {status: 600}", "schema", "directResponse.status", "from 200 to 599"),
        (
            "directResponse: {status: 200, body: {bytes: '!'}}",
            "schema",
            "directResponse.body.bytes",
            "must be base64",
        ),
        (
            f"directResponse: {{status: 200, body: {{string: {'x' * 65_537}}}}}",
            "schema",
            "directResponse.body",
            "at most 65536 bytes, not 65537",
        ),
        (
            "directResponse: {status: 204, body: {string: x}}",
            "contradiction",
            "directResponse.body",
            "an answer with status 204 can't have a body",
        ),
        (
            "directResponse: {status: 304, body: {bytes: aGk=}}",
            "contradiction",
            "directResponse.body",
            "an answer with status 304 can't have a body",
        ),
    ],
)
def test_what_does_not(rule: str, code: str, path: str, message: str) -> None:
    found = only(rule)
    assert found[:2] == (code, path)
    assert message in found[2]
