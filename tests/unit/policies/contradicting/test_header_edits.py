"""Edits of headers: names and values that may be sent, and those that may not."""

import pytest

from tests.support.policy_checks import ROUTE, only, said

LEVELS = {
    "headers": "{route}, headers: {{{edits}}}",
    "route[0].headers": "route: [{{destination: {{host: a}}, headers: {{{edits}}}}}]",
}


def rule(level: str, edits: str) -> str:
    return LEVELS[level].format(route=ROUTE, edits=edits)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(
    "edits",
    [
        "request: {set: {x-a: 'a b'}, add: {x-a: ''}, remove: [x-a]}",
        "response: {set: {X-A: '100%%'}, remove: [server]}",
        "request: {set: {host: 'a.example:80'}}",
        "request: {set: {':authority': '[::1]:80'}}",
        "request: {}",
        "response: {set: {x-a: '%%REQ(x)%%'}}",
    ],
)
def test_what_makes_sense(edits: str, level: str) -> None:
    assert said(rule(level, edits)) == []


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(
    ("edits", "code", "path", "message"),
    [
        ("request: {set: {'a b': x}}", "schema", 'request.set["a b"]', "not a valid name"),
        ("request: {add: {'': x}}", "schema", 'request.add[""]', "not a valid name"),
        ("response: {remove: ['a:b']}", "schema", "response.remove[0]", "not a valid name"),
        ("request: {set: {':path': /x}}", "schema", 'request.set[":path"]', "not a valid name"),
        ("request: {add: {host: x}}", "contradiction", "request.add.host", "can only be set"),
        ("request: {remove: [Host]}", "contradiction", "request.remove[0]", "can only be set"),
        ("response: {set: {host: x}}", "contradiction", "response.set.host", "only of requests"),
        (
            "response: {add: {':authority': x}}",
            "contradiction",
            'response.add[":authority"]',
            "can only be set, and only of requests",
        ),
        (
            "request: {set: {host: a, ':authority': b}}",
            "duplicate",
            "request.set",
            "host and :authority mean the same",
        ),
        ("request: {set: {host: 'a b'}}", "schema", "request.set.host", "must be a host, like"),
        (
            "request: {set: {x-a: '1', X-A: '2'}}",
            "duplicate",
            "request.set",
            "the names of headers have no case",
        ),
        (
            'request: {set: {x-a: "a\\r\\nx-b: b"}}',
            "schema",
            "request.set.x-a",
            "must be visible ASCII",
        ),
        ('response: {add: {x-a: "a\\nb"}}', "schema", "response.add.x-a", "visible ASCII"),
        ('request: {set: {x-a: "a\\0"}}', "schema", "request.set.x-a", "visible ASCII"),
        ("request: {set: {x-a: 'ä'}}", "schema", "request.set.x-a", "visible ASCII"),
        (
            f"request: {{set: {{x-a: {'a' * 16_385}}}}}",
            "schema",
            "request.set.x-a",
            "at most 16384 characters",
        ),
        ("request: {set: {x-a: '50%'}}", "schema", "request.set.x-a", "must be written %%"),
        ("request: {set: {x-a: '%%%'}}", "schema", "request.set.x-a", "must be written %%"),
        (
            "request: {set: {x-a: 'v %REQ(x-b):10%'}}",
            "not-supported-yet",
            "request.set.x-a",
            "%REQ(x-b):10% is not supported yet",
        ),
        (
            "response: {add: {x-a: '%PROTOCOL%'}}",
            "not-supported-yet",
            "response.add.x-a",
            "%PROTOCOL% is not supported yet; supported: plain text",
        ),
        *(
            (
                f"response: {{remove: [{name}]}}",
                "contradiction",
                "response.remove[0]",
                f"{name} is written by the proxies alone",
            )
            for name in ("Content-Length", "transfer-encoding", "connection", "x-tulle-reason")
        ),
        (
            "request: {set: {x-tulle-peer: me}}",
            "contradiction",
            "request.set.x-tulle-peer",
            "written by the proxies alone",
        ),
    ],
)
def test_what_does_not(edits: str, code: str, path: str, message: str, level: str) -> None:
    found = only(rule(level, edits))
    assert found[:2] == (code, f"{level}.{path}")
    assert message in found[2]
