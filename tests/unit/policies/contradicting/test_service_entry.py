"""ServiceEntries that fit the schema and can't be meant."""

import pytest

from tests.support.one_document import problems_of, sole


@pytest.mark.parametrize(
    "spec",
    [
        "hosts: [a.example]\nresolution: STATIC\nports: [{number: 80, name: http}]\n"
        "endpoints: [{address: '::1', ports: {http: 8080}}]",
        "hosts: [a.example]\nresolution: DNS\nports: [{number: 80, name: http}]",
        "hosts: ['*.example']\nresolution: DNS\nports: [{number: 80, name: http}]\n"
        "endpoints: [{address: b.example}, {address: 10.0.0.1}]",
    ],
)
def test_what_makes_sense(spec: str) -> None:
    assert problems_of("ServiceEntry", spec) == []


@pytest.mark.parametrize(
    ("spec", "code", "path", "message"),
    [
        ("hosts: [a]", "schema", "spec", "ports must have at least one port"),
        (
            "hosts: [a]\nresolution: STATIC\nports: [{number: 1, name: a}]",
            "contradiction",
            "spec",
            "resolution STATIC needs endpoints",
        ),
        (
            "hosts: [a]\nports: [{number: 1, name: a}]\nendpoints: [{address: 1.2.3.4}]",
            "contradiction",
            "spec.endpoints",
            "resolution NONE (the default) can't have endpoints",
        ),
        (
            "hosts: [a]\nresolution: STATIC\nports: [{number: 1, name: a}, {number: 1, name: b}]\n"
            "endpoints: [{address: 1.2.3.4}]",
            "duplicate",
            "spec.ports[1].number",
            "the port number 1 is already given",
        ),
        (
            "hosts: [a]\nresolution: STATIC\nports: [{number: 1, name: a}]\n"
            "endpoints: [{address: a.example}]",
            "contradiction",
            "spec.endpoints[0].address",
            "must be an IP address",
        ),
        (
            "hosts: [a]\nresolution: STATIC\nports: [{number: 1, name: a}]\n"
            "endpoints: [{address: 1.2.3.4, ports: {b: 1}}]",
            "contradiction",
            "spec.endpoints[0].ports.b",
            "b is no port of this entry; its ports: a",
        ),
        (
            "hosts: [a.example, '*.example']\nresolution: DNS\nports: [{number: 1, name: a}]",
            "contradiction",
            "spec.hosts[1]",
            "*.example can't be resolved by DNS; name endpoints, or hosts without *",
        ),
        (
            "hosts: [a]\nresolution: DNS\nports: [{number: 1, name: a}]\n"
            "endpoints: [{address: '*.example'}]",
            "contradiction",
            "spec.endpoints[0].address",
            "must be an IP address or a DNS name with resolution DNS, not *.example",
        ),
        (
            "hosts: [a]\nresolution: DNS\nports: [{number: 1, name: a}]\n"
            "endpoints: [{address: 'unix:///run/x'}]",
            "contradiction",
            "spec.endpoints[0].address",
            "must be an IP address or a DNS name with resolution DNS",
        ),
    ],
)
def test_what_does_not(spec: str, code: str, path: str, message: str) -> None:
    assert sole("ServiceEntry", spec, message) == ("error", code, path)
