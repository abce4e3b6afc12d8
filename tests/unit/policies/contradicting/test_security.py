"""PeerAuthentications and AuthorizationPolicies that fit the schema and can't be meant."""

import json
from typing import Any

import pytest

from tests.support import istio_schema
from tests.support.policy_mesh import Mesh
from tests.support.shared import CRDS
from tulle.policies.contradictions import contradictions
from tulle.policies.parse import parse
from tulle.policies.problems import Problem
from tulle.policies.resources.kinds import Kind

APP = {"matchLabels": {"app": "a"}}


def problems(kind: str, spec: dict[str, Any]) -> list[Problem]:
    """All that is wrong with one document by itself, schema and sense."""
    data = {
        "apiVersion": "security.istio.io/v1",
        "kind": kind,
        "metadata": {"name": "x"},
        "spec": spec,
    }
    parsed = parse(json.dumps(data, indent=1))
    return [*parsed.problems, *(p for d in parsed.documents for p in contradictions(d))]


def source(**fields: Any) -> dict[str, Any]:
    return {"rules": [{"from": [{"source": fields}]}]}


def operation(**fields: Any) -> dict[str, Any]:
    return {"rules": [{"to": [{"operation": fields}]}]}


def when(key: str, **fields: Any) -> dict[str, Any]:
    return {"rules": [{"when": [{"key": key, **fields}]}]}


@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        ("PeerAuthentication", {}),
        ("PeerAuthentication", {"mtls": {}}),
        ("PeerAuthentication", {"selector": APP, "portLevelMtls": {"65535": {"mode": "DISABLE"}}}),
        ("AuthorizationPolicy", {}),
        ("AuthorizationPolicy", {"rules": []}),
        ("AuthorizationPolicy", {"rules": [{}]}),
        ("AuthorizationPolicy", {"action": "DENY", "rules": [{}]}),
        ("AuthorizationPolicy", source(principals=["*", "a*", "*a", "a/b"], notNamespaces=["a"])),
        (
            "AuthorizationPolicy",
            source(serviceAccounts=["a", "b/a"], ipBlocks=["::1", "10.0.0.0/8"]),
        ),
        ("AuthorizationPolicy", operation(ports=["0", "65535"], paths=["/a/{*}/b", "/{**}"])),
        ("AuthorizationPolicy", when("request.headers[X-A]", notValues=["*"])),
        ("AuthorizationPolicy", when("request.auth.claims[iss]", values=["a"])),
    ],
)
def test_what_makes_sense(kind: str, spec: dict[str, Any]) -> None:
    assert problems(kind, spec) == []


AT = "spec.rules[0]"


@pytest.mark.parametrize(
    ("kind", "spec", "code", "path", "message"),
    [
        (
            "PeerAuthentication",
            {"portLevelMtls": {"80": {}}},
            "contradiction",
            "spec.portLevelMtls",
            "needs a selector",
        ),
        (
            "PeerAuthentication",
            {"selector": {"matchLabels": {}}, "portLevelMtls": {"80": {}}},
            "contradiction",
            "spec.portLevelMtls",
            "needs a selector",
        ),
        *(
            (
                "PeerAuthentication",
                {"selector": APP, "portLevelMtls": {port: {}}},
                "schema",
                f"spec.portLevelMtls.{port}",
                "must be a port from 1 to 65535",
            )
            for port in ("0", "65536", "http", "080", "-1")
        ),
        ("PeerAuthentication", {"mtls": {"mode": "strict"}}, "schema", "spec.mtls.mode", "STRICT"),
        (
            "AuthorizationPolicy",
            {"selector": {"matchLabels": {"app": "a*"}}},
            "schema",
            "spec.selector.matchLabels.app",
            "there is no wildcard",
        ),
        ("AuthorizationPolicy", {"action": "DENY"}, "contradiction", "spec", "never matches"),
        (
            "AuthorizationPolicy",
            {"rules": [{"from": []}]},
            "contradiction",
            f"{AT}.from",
            "one source",
        ),
        (
            "AuthorizationPolicy",
            {"rules": [{"to": []}]},
            "contradiction",
            f"{AT}.to",
            "one operation",
        ),
        (
            "AuthorizationPolicy",
            {"rules": [{"from": [{}]}]},
            "contradiction",
            f"{AT}.from[0]",
            "at least one condition, such as principals",
        ),
        ("AuthorizationPolicy", source(), "contradiction", f"{AT}.from[0].source", "one condition"),
        (
            "AuthorizationPolicy",
            operation(paths=[]),
            "contradiction",
            f"{AT}.to[0].operation",
            "at least one condition, such as methods or paths",
        ),
        (
            "AuthorizationPolicy",
            source(principals=["spiffe://cluster.local/ns/a/sa/b"]),
            "schema",
            f"{AT}.from[0].source.principals[0]",
            "without spiffe://: cluster.local/ns/a/sa/b",
        ),
        (
            "AuthorizationPolicy",
            source(notPrincipals=["a*b"]),
            "schema",
            f"{AT}.from[0].source.notPrincipals[0]",
            "* may stand once, at the beginning or at the end",
        ),
        (
            "AuthorizationPolicy",
            source(namespaces=["a", ""]),
            "schema",
            f"{AT}.from[0].source.namespaces[1]",
            "must not be empty",
        ),
        (
            "AuthorizationPolicy",
            source(serviceAccounts=["default/a*"]),
            "schema",
            f"{AT}.from[0].source.serviceAccounts[0]",
            "there is no wildcard",
        ),
        (
            "AuthorizationPolicy",
            source(serviceAccounts=["a/b/c"]),
            "schema",
            f"{AT}.from[0].source.serviceAccounts[0]",
            "namespace/account",
        ),
        *(
            (
                "AuthorizationPolicy",
                source(notIpBlocks=[block]),
                "schema",
                f"{AT}.from[0].source.notIpBlocks[0]",
                "must be an IP address or a CIDR",
            )
            for block in ("10.0.0", "10.0.0.0/33", "10.0.0.0/255.0.0.0", "localhost", "10.0.0.0/")
        ),
        (
            "AuthorizationPolicy",
            operation(ports=["80", "http"]),
            "schema",
            f"{AT}.to[0].operation.ports[1]",
            "must be a port from 0 to 65535",
        ),
        (
            "AuthorizationPolicy",
            operation(paths=["/a/*/b"]),
            "schema",
            f"{AT}.to[0].operation.paths[0]",
            "* may stand once",
        ),
        (
            "AuthorizationPolicy",
            operation(hosts=["*.a.*"]),
            "schema",
            f"{AT}.to[0].operation.hosts[0]",
            "* may stand once",
        ),
        (
            "AuthorizationPolicy",
            when("source.ip"),
            "contradiction",
            f"{AT}.when[0]",
            "must have values",
        ),
        (
            "AuthorizationPolicy",
            when("source.ip", values=["a"]),
            "schema",
            f"{AT}.when[0].values[0]",
            "must be an IP address",
        ),
        (
            "AuthorizationPolicy",
            when("destination.port", notValues=["x"]),
            "schema",
            f"{AT}.when[0].notValues[0]",
            "must be a port",
        ),
        *(
            (
                "AuthorizationPolicy",
                when(key, values=["a"]),
                "schema",
                f"{AT}.when[0].key",
                "is no attribute; known: source.ip, source.namespace",
            )
            for key in (
                "source.user",
                "request.headers",
                "request.headers[]",
                "request.header[a]",
                "",
            )
        ),
        (
            "AuthorizationPolicy",
            when("request.headers[a b]", values=["a"]),
            "schema",
            f"{AT}.when[0].key",
            "not a valid name of a header",
        ),
        (
            "AuthorizationPolicy",
            {"provider": {"name": "x"}},
            "contradiction",
            "spec.provider",
            "for action CUSTOM alone",
        ),
    ],
)
def test_what_does_not(kind: str, spec: dict[str, Any], code: str, path: str, message: str) -> None:
    [problem] = problems(kind, spec)
    assert (problem.code, problem.path) == (code, path)
    assert message in problem.message
    assert problem.line > 0
    assert problem.severity == ("warning" if message.startswith("never") else "error")


REFUSED: dict[Kind, dict[str, dict[str, Any]]] = {
    "PeerAuthentication": {
        "portLevelMtls requires selector": {"portLevelMtls": {"80": {}}},
        "port must be between 1-65535": {"selector": APP, "portLevelMtls": {"0": {}}},
        "wildcard not allowed in label value match": {"selector": {"matchLabels": {"a": "*"}}},
        "wildcard not allowed in label key match": {"selector": {"matchLabels": {"a*": "b"}}},
        "key must not be empty": {"selector": {"matchLabels": {"": "b"}}},
    },
    "AuthorizationPolicy": {
        "only one of targetRefs or selector can be set": {"selector": {}, "targetRefs": []},
        "cross namespace referencing is not currently supported": {
            "targetRefs": [{"kind": "Gateway", "name": "g", "namespace": "other"}]
        },
        "wildcard not allowed in label value match": {"selector": {"matchLabels": {"a": "*"}}},
        "wildcard not allowed in label key match": {"selector": {"matchLabels": {"a*": "b"}}},
        "key must not be empty": {"selector": {"matchLabels": {"": "b"}}},
        "Cannot set serviceAccounts with namespaces or principals": source(
            serviceAccounts=["a"], notNamespaces=["a"]
        ),
    },
}


@pytest.mark.needs_shared
@pytest.mark.parametrize("kind", REFUSED)
def test_every_rule_of_istios_schema_is_kept(kind: Kind) -> None:
    assert REFUSED[kind].keys() == istio_schema.rules_of_crds(CRDS, kind)
    for message, spec in REFUSED[kind].items():
        assert [p.severity for p in problems(kind, spec)] == ["error"], message


PEER = """\
apiVersion: security.istio.io/v1beta1
kind: PeerAuthentication
metadata: {{name: {name}, namespace: {namespace}}}
spec: {spec}
"""


def peers(namespace: str, *specs: str) -> list[str]:
    """Warnings of policies a, b, ..., applied one after another."""
    texts = [
        PEER.format(name="abc"[at], namespace=namespace, spec=spec) for at, spec in enumerate(specs)
    ]
    return [f"{p.code} {p.path}: {p.message}" for p in Mesh(*texts).problems]


@pytest.mark.parametrize(
    ("namespace", "specs", "warning"),
    [
        (
            "default",
            ["{}", "{mtls: {mode: DISABLE}}"],
            "conflict spec: the older PeerAuthentication",
        ),
        ("default", ["{}", "{}"], "already decides for all of default; this one is not used"),
        ("istio-system", ["{}", "{selector: {}}"], "already decides for the whole mesh"),
        (
            "default",
            ["{selector: {matchLabels: {a: b}}}", "{selector: {matchLabels: {a: b}}}"],
            "conflict spec.selector: the older PeerAuthentication default/a already decides",
        ),
    ],
)
def test_of_two_for_the_same_workloads_the_newer_is_warned(
    namespace: str, specs: list[str], warning: str
) -> None:
    [said] = peers(namespace, *specs)
    assert warning in said


def test_those_of_different_levels_are_no_conflict() -> None:
    assert peers("default", "{}", "{selector: {matchLabels: {a: b}}}") == []
    assert (
        peers("default", "{selector: {matchLabels: {a: c}}}", "{selector: {matchLabels: {a: b}}}")
        == []
    )
