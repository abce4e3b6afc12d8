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
    ],
)
def test_what_does_not(kind: str, spec: str, code: str, path: str, message: str) -> None:
    [problem] = problems(kind, spec)
    assert (problem.code, problem.path) == (code, path)
    assert message in problem.message
    assert problem.line >= 4
    assert problem.severity == ("warning" if message.startswith("never") else "error")
