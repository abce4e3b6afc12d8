"""Gateways that fit the schema and can't be meant; their TLS: test_server_tls.py."""

import pytest

from tests.support.one_document import problems_of, sole


@pytest.mark.parametrize(
    "spec",
    [
        "servers: [{port: {number: 80, name: a, protocol: HTTP}, hosts: [./a, '*/b.c', n/*]}]",
        "servers:\n- {port: {number: 80, name: a, protocol: HTTP}, hosts: [a]}\n"
        "- {port: {number: 80, name: b, protocol: http}, hosts: [b]}",
    ],
)
def test_what_makes_sense(spec: str) -> None:
    assert problems_of("Gateway", spec) == []


@pytest.mark.parametrize(
    ("spec", "code", "path", "message"),
    [
        ("selector: {a: b}", "schema", "spec", "at least one server"),
        (
            "servers: [{port: {number: 0, name: a, protocol: HTTP}, hosts: ['*']}]",
            "schema",
            "spec.servers[0].port.number",
            "from 1 to 65535",
        ),
        (
            "servers: [{port: {number: 80, name: a, protocol: HTTP}, hosts: [a, A]}]",
            "duplicate",
            "spec.servers[0].hosts[1]",
            "A is already served on port 80",
        ),
        (
            "servers: [{port: {number: 80, name: a, protocol: HTTP}, hosts: [UP/a]}]",
            "schema",
            "spec.servers[0].hosts[0]",
            "alone or after namespace/",
        ),
        (
            "servers:\n- {port: {number: 80, name: a, protocol: HTTP}, hosts: [a]}\n"
            "- {port: {number: 81, name: a, protocol: HTTP}, hosts: [a]}",
            "duplicate",
            "spec.servers[1].port",
            "the port name a is already given by item 0",
        ),
        (
            "servers:\n- {port: {number: 80, name: a, protocol: HTTP}, hosts: [a]}\n"
            "- {port: {number: 80, name: b, protocol: HTTPS}, hosts: [b], "
            "tls: {mode: SIMPLE, credentialName: x}}",
            "contradiction",
            "spec.servers[1].port.protocol",
            "port 80 can't be HTTP for one server and HTTPS for another",
        ),
    ],
)
def test_what_does_not(spec: str, code: str, path: str, message: str) -> None:
    assert sole("Gateway", spec, message) == ("error", code, path)
