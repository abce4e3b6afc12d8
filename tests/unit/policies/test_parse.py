"""Policy files -> documents and problems."""

import json
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tulle.policies.parse import parse
from tulle.policies.problems import Problem
from tulle.policies.resources.base import nanoseconds
from tulle.policies.resources.kinds import KINDS
from tulle.policies.resources.networking.virtual_service import VirtualService
from tulle.policies.world import Policy

REVIEWS = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: reviews
  namespace: shop
spec:
  hosts:
  - reviews
  http:
  - route:
    - destination:
        host: reviews
"""

HOST = {"host": "a"}


def problems(text: str) -> list[Problem]:
    return list(parse(text, "f.yaml").problems)


def problem(text: str) -> Problem:
    [only] = problems(text)
    return only


def spec(kind: str, **fields: Any) -> str:
    return json.dumps(
        {
            "apiVersion": "networking.istio.io/v1",
            "kind": kind,
            "metadata": {"name": "x"},
            "spec": fields,
        }
    )


def test_a_document_has_its_names_its_data_and_its_lines() -> None:
    [document] = parse(REVIEWS, "f.yaml").documents
    assert document.title == "VirtualService shop/reviews"
    assert document.line(("spec", "http", 0, "route", 0, "destination", "host")) == 12
    assert document.line(("spec", "http", 0, "timeout")) == 10
    assert document.data["metadata"] == {"name": "reviews", "namespace": "shop"}
    assert isinstance(document.resource, VirtualService)
    assert document.resource.http[0].route[0].destination.host == "reviews"


def test_the_namespace_is_default_unless_written() -> None:
    [document] = parse(REVIEWS.replace("  namespace: shop\n", "")).documents
    assert document.namespace == "default"


@pytest.mark.parametrize("version", ["v1", "v1beta1", "v1alpha3"])
def test_versions_are_aliases_and_stored_as_written(version: str) -> None:
    [document] = parse(REVIEWS.replace("/v1\n", f"/{version}\n")).documents
    assert document.data["apiVersion"] == f"networking.istio.io/{version}"


def test_an_unknown_kind_is_refused_with_the_list() -> None:
    found = problem(REVIEWS.replace("VirtualService", "VirtualServce"))
    assert (found.code, found.line, found.path) == ("unknown-kind", 2, "kind")
    assert 'Did you mean "VirtualService"?' in found.message
    for kind in KINDS:
        assert kind in found.message


def test_a_kind_of_istio_that_is_not_there_yet_is_said_to_be_so() -> None:
    text = REVIEWS.replace("networking", "security")
    text = text.replace("VirtualService", "RequestAuthentication")
    assert problem(text).code == "not-supported-yet"


@pytest.mark.parametrize("version", ["v1", "v1beta1"])
@pytest.mark.parametrize("kind", ["PeerAuthentication", "AuthorizationPolicy"])
def test_the_kinds_of_the_security_group(kind: str, version: str) -> None:
    head = f"apiVersion: security.istio.io/{version}\nkind: {kind}\nmetadata: {{name: x}}\n"
    [document] = parse(head + "spec: {}\n").documents
    assert document.title == f"{kind} default/x"


def test_a_group_has_its_own_kinds_and_versions() -> None:
    head = "apiVersion: {}\nkind: {}\nmetadata: {{name: x}}\nspec: {{}}\n"
    for version, kind in (
        ("security.istio.io/v1alpha3", "PeerAuthentication"),
        ("networking.istio.io/v1", "PeerAuthentication"),
        ("security.istio.io/v1", "Gateway"),
    ):
        found = problem(head.format(version, kind))
        assert (found.code, found.path) == ("unknown-kind", "apiVersion")
        assert "security.istio.io/v1 PeerAuthentication" in found.message
        assert "(also networking.istio.io/v1beta1, networking.istio.io/v1alpha3, " in found.message


@pytest.mark.parametrize("version", ["networking.istio.io/v2", "v1", "gateway.k8s.io/v1"])
def test_an_unknown_version_or_group_is_refused(version: str) -> None:
    found = problem(REVIEWS.replace("networking.istio.io/v1", version))
    assert found.code == "unknown-kind"


def test_an_unknown_field_is_an_error_with_the_allowed_ones() -> None:
    found = problem(REVIEWS.replace("  hosts:", "  host: x\n  hosts:"))
    assert (found.code, found.severity, found.path, found.line) == (
        "unknown-field",
        "error",
        "spec.host",
        7,
    )
    assert 'Did you mean "hosts"?' in found.message
    assert "Allowed: exportTo, gateways, hosts, http, tcp, tls" in found.message


def test_unknown_fields_are_found_at_every_depth() -> None:
    text = REVIEWS.replace("host: reviews\n", "host: reviews\n        prot: 1\n") + "extra: 1\n"
    found = {p.path: p.line for p in problems(text)}
    assert found == {"extra": 14, "spec.http[0].route[0].destination.prot": 13}


def test_all_problems_of_all_documents_are_collected() -> None:
    text = "---\n".join(
        [
            REVIEWS.replace("hosts:", "hosst:"),
            REVIEWS,
            "just text\n",
            REVIEWS.replace("  name: reviews\n", "").replace("route:", "route: 1\n    match:"),
            "a: @\n",
            REVIEWS.replace("VirtualService", "Nothing"),
        ]
    )
    parsed = parse(text, "f.yaml")
    assert [document.line(()) for document in parsed.documents] == [14]
    assert [(p.code, p.line) for p in parsed.problems] == [
        ("unknown-field", 7),
        ("schema", 27),  # no mapping
        ("schema", 31),  # no name
        ("schema", 37),  # route is a number
        ("unknown-field", 39),
        ("yaml", 42),
        ("unknown-kind", 45),
    ]
    assert all(p.file == "f.yaml" and p.line and p.message for p in parsed.problems)


def test_what_a_server_wrote_is_accepted_with_a_warning_and_not_stored() -> None:
    text = REVIEWS.replace(
        "  name: reviews\n",
        "  name: reviews\n  uid: abc\n  creationTimestamp: null\n  labels: {a: b}\n",
    )
    parsed = parse(text + "status: {}\n")
    [document] = parsed.documents
    assert document.data["metadata"] == {
        "name": "reviews",
        "labels": {"a": "b"},
        "namespace": "shop",
    }
    assert "status" not in document.data
    assert [(p.code, p.severity, p.path) for p in parsed.problems] == [
        ("ignored-field", "warning", "metadata.uid"),
        ("ignored-field", "warning", "metadata.creationTimestamp"),
        ("ignored-field", "warning", "status"),
    ]


@pytest.mark.parametrize(
    ("text", "path", "message"),
    [
        (spec("VirtualService", hosts="reviews"), "spec.hosts", 'must be a list, not "reviews"'),
        (spec("VirtualService", hosts=None), "spec.hosts", "must be a list, not null"),
        (spec("VirtualService", hosts=[1]), "spec.hosts[0]", "must be a string, not the number 1"),
        (
            spec("Gateway", selector={"a": True}),
            "spec.selector.a",
            'must be a string, not true; quote it: "true"',
        ),
        (spec("Gateway", servers=[{"hosts": []}]), "spec.servers[0]", "port is missing"),
        (spec("DestinationRule"), "spec", "the required field host is missing"),
        (spec("DestinationRule", host=None), "spec.host", "must be a string, not null"),
        (
            spec("DestinationRule", host="a", trafficPolicy=None),
            "spec.trafficPolicy",
            "must not be null: give a value or remove the field",
        ),
        (
            spec(
                "DestinationRule",
                host="a",
                trafficPolicy={"loadBalancer": {"simple": "ROUND_ROBBIN"}},
            ),
            "spec.trafficPolicy.loadBalancer.simple",
            'Did you mean "ROUND_ROBIN"?',
        ),
        (
            spec("VirtualService", http=[{"timeout": "5"}]),
            "spec.http[0].timeout",
            "must be a duration like 500ms, 2s, 1.5s, 1m or 1h30m, not '5'",
        ),
        (spec("VirtualService", http=[{"timeout": "0s"}]), "spec.http[0].timeout", "at least 1ms"),
        (spec("VirtualService", http=[{"timeout": 5}]), "spec.http[0].timeout", "must be a string"),
        (
            spec("VirtualService", http=[{"match": [{"uri": {"regex": "("}}]}]),
            "spec.http[0].match[0].uri.regex",
            "is not a RE2 regular expression: missing )",
        ),
        (
            spec("VirtualService", http=[{"match": [{"headers": {"a": {"regex": "(?!x)"}}}]}]),
            "spec.http[0].match[0].headers.a.regex",
            "is not a RE2 regular expression",
        ),
        (
            spec("VirtualService", http=[{"route": [{"destination": HOST, "weight": "1"}]}]),
            "spec.http[0].route[0].weight",
            'must be a whole number, not "1"',
        ),
        (
            spec("VirtualService", http=[{"match": [{"port": -1}]}]),
            "spec.http[0].match[0].port",
            "greater than or equal to 0",
        ),
        (
            spec("ServiceEntry", hosts=["*", "a"]),
            "spec.hosts[0]",
            "must not be the wildcard * alone",
        ),
        (spec("ServiceEntry", hosts=[]), "spec.hosts", "at least 1 item"),
        (
            spec("ServiceEntry", hosts=["a"], ports=[{"number": 0, "name": "http"}]),
            "spec.ports[0].number",
            "greater than or equal to 1",
        ),
        (
            spec("ServiceEntry", hosts=["a"], endpoints=[{"labels": {}}]),
            "spec.endpoints[0]",
            "an endpoint needs an address",
        ),
    ],
)
def test_what_does_not_fit_the_schema_is_named_with_what_would(
    text: str, path: str, message: str
) -> None:
    found = problem(text)
    assert (found.severity, found.path) == ("error", path)
    assert message in found.message


def test_of_a_one_of_only_one_may_be_given() -> None:
    match = {"uri": {"exact": "/a", "prefix": "/b"}}
    found = problem(spec("VirtualService", http=[{"match": [match]}]))
    assert (found.code, found.path) == ("contradiction", "spec.http[0].match[0].uri")
    assert found.message == (
        "exact and prefix are given together; give only one of exact, prefix, regex"
    )


@pytest.mark.parametrize("name", ["", "Reviews", "a b", "a/b", "-a", "a..b", "a" * 254, "é"])
def test_names_are_dns_names(name: str) -> None:
    text = spec("Gateway").replace('"name": "x"', f'"name": {json.dumps(name)}')
    assert problem(text).path == "metadata.name"


@pytest.mark.parametrize(
    ("text", "value"),
    [("1ms", 10**6), ("1.5s", 1_500_000_000), ("1h2m3s", 3_723 * 10**9), ("100us", 10**5)],
)
def test_durations_are_gos(text: str, value: int) -> None:
    assert nanoseconds(text) == value


@pytest.mark.parametrize("text", ["", "5", "s", "-1s", "1s ", "1d", "1.s", ".5s", "1e3s", "٣s"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="is no duration"):
        nanoseconds(text)


def test_what_is_stored_is_read_back_as_the_same_policy() -> None:
    [document] = parse(REVIEWS).documents
    policy = Policy(document, 7)
    stored = orjson.loads(orjson.dumps(policy.stored()))
    assert Policy.from_stored(stored, 7) == policy


def test_what_cannot_be_read_from_the_store_is_said() -> None:
    with pytest.raises(ValueError, match="can't be read"):
        Policy.from_stored({"kind": "Future"}, 1)


names = st.sampled_from(["apiVersion", "kind", "metadata", "spec", "hosts", "http", ""])
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-10, 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["networking.istio.io/v1", "VirtualService", "Gateway", "a", "", "1s", "*"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=5),
    max_leaves=30,
)


@given(values, st.sampled_from(sorted(KINDS)))
@settings(max_examples=100)
def test_no_document_raises(value: Any, kind: str) -> None:
    """Whatever the values, the answer is documents and problems that can be read."""
    envelope = {
        "apiVersion": "networking.istio.io/v1",
        "kind": kind,
        "metadata": {"name": "x"},
        "spec": value,
    }
    for text in (json.dumps(value), json.dumps(envelope)):
        parsed = parse(text, "f.json")
        assert all(str(p) for p in parsed.problems)
        for document in parsed.documents:
            assert document.data == json.loads(text)
