"""Documents that fit the schema and can't be meant."""

import pytest

from tests.support.policy_mesh import parsed
from tulle.policies.contradictions import contradictions
from tulle.policies.problems import Problem

HEAD = "apiVersion: networking.istio.io/v1\nkind: {kind}\nmetadata: {{name: x}}\nspec:\n"
ROUTE = "{route: [{destination: {host: a}}]}"


def problems(kind: str, spec: str) -> list[Problem]:
    body = "\n".join(f"  {line}" for line in spec.strip().splitlines())
    [document] = parsed(HEAD.format(kind=kind) + body).documents
    return list(contradictions(document))


@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        ("VirtualService", f"hosts: [a, b.example, '*.c']\nhttp: [{ROUTE}]"),
        ("VirtualService", f"hosts: ['*']\ngateways: [g, other/g]\nhttp: [{ROUTE}]"),
        ("VirtualService", "hosts: [a]\ntcp: [{route: [{destination: {host: a}}]}]"),
        ("VirtualService", "hosts: [a]\nhttp: [{redirect: {uri: /x}}]"),
        ("DestinationRule", "host: '*.default.svc.cluster.local'\nsubsets: [{name: v1}]"),
        (
            "Gateway",
            "servers: [{port: {number: 80, name: a, protocol: HTTP}, hosts: [./a, '*/b.c', n/*]}]",
        ),
        (
            "ServiceEntry",
            "hosts: [a.example]\nresolution: STATIC\nports: [{number: 80, name: http}]\n"
            "endpoints: [{address: '::1', ports: {http: 8080}}]",
        ),
    ],
)
def test_what_makes_sense(kind: str, spec: str) -> None:
    assert problems(kind, spec) == []


@pytest.mark.parametrize(
    ("kind", "spec", "code", "path", "message"),
    [
        ("VirtualService", f"http: [{ROUTE}]", "schema", "spec", "hosts must name at least one"),
        ("VirtualService", "hosts: [a]", "schema", "spec", "must have at least one route"),
        ("VirtualService", f"hosts: [a/b]\nhttp: [{ROUTE}]", "schema", "spec.hosts[0]", "DNS name"),
        (
            "VirtualService",
            f"hosts: [a, A]\nhttp: [{ROUTE}]",
            "duplicate",
            "spec.hosts[1]",
            "twice",
        ),
        (
            "VirtualService",
            f"hosts: ['*']\nhttp: [{ROUTE}]",
            "contradiction",
            "spec.hosts[0]",
            "can't be bound to the mesh",
        ),
        (
            "VirtualService",
            f"hosts: [a]\ngateways: [a/b/c]\nhttp: [{ROUTE}]",
            "schema",
            "spec.gateways[0]",
            "must be mesh, the name of a Gateway, or namespace/name",
        ),
        (
            "VirtualService",
            "hosts: [a]\nhttp: [{timeout: 1s}]",
            "contradiction",
            "spec.http[0]",
            "needs a route",
        ),
        (
            "VirtualService",
            "hosts: [a]\nhttp: [{route: [{destination: {host: a}}, {destination: {host: b}}]}]",
            "contradiction",
            "spec.http[0].route",
            "the weights add up to 0",
        ),
        (
            "VirtualService",
            "hosts: [a]\nhttp: [{route: [{destination: {host: a}, weight: -1}]}]",
            "schema",
            "spec.http[0].route[0].weight",
            "must not be negative",
        ),
        (
            "VirtualService",
            "hosts: [a]\nhttp: [{route: [{destination: {host: '*.a'}}]}]",
            "schema",
            "spec.http[0].route[0].destination.host",
            "must be the name of one host",
        ),
        (
            "VirtualService",
            "hosts: [a]\nhttp: [{route: [{destination: {host: a, port: {}}}]}]",
            "schema",
            "spec.http[0].route[0].destination.port",
            "must have a number from 1 to 65535",
        ),
        (
            "VirtualService",
            "hosts: [a]\nhttp: [{match: [{uri: {}}], route: [{destination: {host: a}}]}]",
            "schema",
            "spec.http[0].match[0].uri",
            "must have one of exact, prefix, regex",
        ),
        (
            "VirtualService",
            "hosts: [a]\nhttp: [{match: [{headers: {':path': {}}}], route: "
            "[{destination: {host: a}}]}]",
            "contradiction",
            'spec.http[0].match[0].headers[":path"]',
            "use the field uri",
        ),
        (
            "VirtualService",
            "hosts: [a]\nhttp: [{match: [{headers: {'a b': {}}}], route: "
            "[{destination: {host: a}}]}]",
            "schema",
            'spec.http[0].match[0].headers["a b"]',
            "not a valid name of a header",
        ),
        (
            "VirtualService",
            f"hosts: [a]\nhttp: [{ROUTE}, {ROUTE}]",
            "contradiction",
            "spec.http[1]",
            "never taken: http[0] has no match",
        ),
        (
            "VirtualService",
            "hosts: [a]\nhttp: [{match: [{gateways: [web]}], route: [{destination: {host: a}}]}]",
            "contradiction",
            "spec.http[0].match[0].gateways",
            "never holds: this VirtualService is bound to mesh alone",
        ),
        ("DestinationRule", "host: a b", "schema", "spec.host", "DNS name"),
        (
            "DestinationRule",
            "host: a\nsubsets: [{name: v1}, {name: v2}, {name: v1}]",
            "duplicate",
            "spec.subsets[2].name",
            "the subset v1 is already given by item 0",
        ),
        (
            "DestinationRule",
            "host: a\nsubsets: [{name: a|b}]",
            "schema",
            "spec.subsets[0].name",
            "-",
        ),
        ("Gateway", "selector: {a: b}", "schema", "spec", "at least one server"),
        (
            "Gateway",
            "servers: [{port: {number: 0, name: a, protocol: HTTP}, hosts: ['*']}]",
            "schema",
            "spec.servers[0].port.number",
            "from 1 to 65535",
        ),
        (
            "Gateway",
            "servers: [{port: {number: 80, name: a, protocol: HTTP}, hosts: [a, A]}]",
            "duplicate",
            "spec.servers[0].hosts[1]",
            "A is already served on port 80",
        ),
        (
            "Gateway",
            "servers: [{port: {number: 80, name: a, protocol: HTTP}, hosts: [UP/a]}]",
            "schema",
            "spec.servers[0].hosts[0]",
            "alone or after namespace/",
        ),
        (
            "Gateway",
            "servers:\n- {port: {number: 80, name: a, protocol: HTTP}, hosts: [a]}\n"
            "- {port: {number: 81, name: a, protocol: HTTP}, hosts: [a]}",
            "duplicate",
            "spec.servers[1].port",
            "the port name a is already given by item 0",
        ),
        ("ServiceEntry", "hosts: [a]", "schema", "spec", "ports must have at least one port"),
        (
            "ServiceEntry",
            "hosts: [a]\nresolution: STATIC\nports: [{number: 1, name: a}]",
            "contradiction",
            "spec",
            "resolution STATIC needs endpoints",
        ),
        (
            "ServiceEntry",
            "hosts: [a]\nports: [{number: 1, name: a}]\nendpoints: [{address: 1.2.3.4}]",
            "contradiction",
            "spec.endpoints",
            "resolution NONE (the default) can't have endpoints",
        ),
        (
            "ServiceEntry",
            "hosts: [a]\nresolution: STATIC\nports: [{number: 1, name: a}, {number: 1, name: b}]\n"
            "endpoints: [{address: 1.2.3.4}]",
            "duplicate",
            "spec.ports[1].number",
            "the port number 1 is already given",
        ),
        (
            "ServiceEntry",
            "hosts: [a]\nresolution: STATIC\nports: [{number: 1, name: a}]\n"
            "endpoints: [{address: a.example}]",
            "contradiction",
            "spec.endpoints[0].address",
            "must be an IP address",
        ),
        (
            "ServiceEntry",
            "hosts: [a]\nresolution: STATIC\nports: [{number: 1, name: a}]\n"
            "endpoints: [{address: 1.2.3.4, ports: {b: 1}}]",
            "contradiction",
            "spec.endpoints[0].ports.b",
            "b is no port of this entry; its ports: a",
        ),
    ],
)
def test_what_does_not(kind: str, spec: str, code: str, path: str, message: str) -> None:
    [problem] = problems(kind, spec)
    assert (problem.code, problem.path) == (code, path)
    assert message in problem.message
    assert problem.line >= 4
    assert problem.severity == ("warning" if message.startswith("never") else "error")
