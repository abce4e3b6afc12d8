"""What documents say of each other: missing references, conflicts, near misses."""

import pytest

from tests.support.policy_mesh import BOOKINFO, Mesh, applied, parsed, service
from tulle.policies.problems import Problem
from tulle.policies.validate import check
from tulle.policies.world import INGRESS, Pool, World

RULE = """\
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews}
spec:
  host: reviews
  trafficPolicy: {loadBalancer: {simple: RANDOM}}
  subsets: [{name: v1, labels: {version: v1}}]
"""
ROUTE = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec:
  hosts: [reviews]
  http:
  - route:
    - destination: {host: reviews, subset: v1}
"""
GATEWAY = """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: web}
spec:
  selector: {istio: ingressgateway}
  servers:
  - port: {number: 80, name: http, protocol: HTTP}
    hosts: [shop.example]
"""
EDGE = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: edge}
spec:
  hosts: [shop.example]
  gateways: [web]
  http:
  - route:
    - destination: {host: reviews}
"""
ENTRY = """\
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: outside}
spec:
  hosts: [api.example]
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP}]
  endpoints: [{address: 10.0.0.1}]
"""


def problems(text: str, *before: str) -> list[Problem]:
    """The problems of applying `text` to a mesh that has `before`."""
    mesh = Mesh(*before, services=(*BOOKINFO, service("multi", 80, 81)))
    outcome = applied(mesh.world, text, revision=9, file="f.yaml")
    assert {p.file for p in outcome.problems} <= {"f.yaml", ""}
    return list(outcome.problems)


def problem(text: str, *before: str) -> Problem:
    [only] = problems(text, *before)
    return only


def test_a_complete_mesh_has_no_problems() -> None:
    assert problems("---\n".join([RULE, ROUTE, GATEWAY, EDGE, ENTRY])) == []
    assert problems(ROUTE, RULE) == []


@pytest.mark.parametrize(
    ("text", "path", "line", "message"),
    [
        (
            EDGE.replace("[web]", "[mesh]").replace("host: reviews", "host: review"),
            "spec.http[0].route[0].destination.host",
            9,
            'Did you mean "reviews.default.svc.cluster.local"?',
        ),
        (
            EDGE.replace("[web]", "[mesh]").replace(
                "host: reviews", "host: reviews, port: {number: 1}"
            ),
            "spec.http[0].route[0].destination.port",
            9,
            "has no port 1; it has 9080; requests get 503 unknown_cluster",
        ),
        (
            ROUTE,
            "spec.http[0].route[0].destination.subset",
            8,
            "it has no DestinationRule; requests to it get 503 unknown_subset",
        ),
        (
            EDGE,
            "spec.gateways[0]",
            6,
            "there is no Gateway default/web (yet)",
        ),
        (
            ROUTE.replace("hosts: [reviews]", "hosts: [rewiews]").replace(", subset: v1", ""),
            "spec.hosts[0]",
            5,
            "rewiews.default.svc.cluster.local is no service or ServiceEntry of the mesh (yet).",
        ),
        (
            RULE.replace("host: reviews", "host: x.example"),
            "spec.host",
            5,
            "x.example is no service",
        ),
        (
            GATEWAY.replace("ingressgateway", "ingresgateway"),
            "spec.selector",
            5,
            "pools: ingress (app=istio-ingressgateway, istio=ingressgateway)",
        ),
    ],
)
def test_a_missing_reference_is_a_warning_that_says_what_happens(
    text: str, path: str, line: int, message: str
) -> None:
    found = problem(text)
    assert (found.code, found.severity) == ("missing-reference", "warning")
    assert (found.path, found.line) == (path, line)
    assert message in found.message


def test_a_subset_that_is_spelt_wrong_is_named_with_those_there() -> None:
    found = problem(ROUTE.replace("v1}", "v11}"), RULE)
    assert "subsets there: v1" in found.message
    assert 'Did you mean "v1"?' in found.message


def test_a_host_that_the_gateway_does_not_serve_is_said() -> None:
    found = problem(EDGE.replace("shop.example", "other.example"), GATEWAY)
    assert found.path == "spec.gateways[0]"
    assert "no server of Gateway default/web serves one of these hosts" in found.message


def test_a_gateway_may_serve_only_some_namespaces() -> None:
    text = GATEWAY.replace("[shop.example]", "[other/shop.example]")
    assert "for this namespace" in problem(EDGE, text).message
    assert problems(EDGE, GATEWAY.replace("[shop.example]", "[./shop.example]")) == []


@pytest.mark.parametrize(
    ("text", "before", "path", "message"),
    [
        (
            ROUTE.replace("name: reviews}", "name: second}"),
            ROUTE,
            "spec.hosts[0]",
            "is already routed by the older VirtualService default/reviews",
        ),
        (
            RULE.replace("name: reviews}", "name: second}").replace("name: v1", "name: v2"),
            RULE,
            "spec.trafficPolicy",
            "the older DestinationRule default/reviews already has one",
        ),
        (
            RULE.replace("name: reviews}", "name: second, namespace: other}").replace(
                "host: reviews", "host: reviews.default"
            ),
            RULE,
            "spec.host",
            "DestinationRule default/reviews already decides",
        ),
        (
            GATEWAY.replace("name: web", "name: second"),
            GATEWAY,
            "spec.servers[0].hosts[0]",
            "is also served by the older Gateway default/web",
        ),
        (
            EDGE.replace("name: edge", "name: second"),
            f"{GATEWAY}---\n{EDGE}",
            "spec.gateways[0]",
            "already takes every request for shop.example",
        ),
        (
            ENTRY.replace("name: outside", "name: second"),
            ENTRY,
            "spec.hosts[0]",
            "is already given by the older ServiceEntry default/outside",
        ),
        (
            ENTRY.replace("api.example", "reviews.default.svc.cluster.local"),
            "",
            "spec.hosts[0]",
            "is a service of the mesh",
        ),
    ],
)
def test_of_two_that_decide_the_same_the_newer_is_warned(
    text: str, before: str, path: str, message: str
) -> None:
    conflicts = [p for p in problems(text, RULE, before) if p.code == "conflict"]
    assert [p.path for p in conflicts] == [path]
    assert message in conflicts[0].message
    assert conflicts[0].severity == "warning"


def secure(name: str, *hosts: str) -> str:
    """A Gateway with one HTTPS server on port 443."""
    text = GATEWAY.replace("name: web", f"name: {name}").replace("number: 80", "number: 443")
    text = text.replace("protocol: HTTP", "protocol: HTTPS")
    text = text.replace("[shop.example]", f"[{', '.join(hosts)}]")
    return f"{text}    tls: {{mode: SIMPLE, credentialName: shop}}\n"


def test_a_server_that_an_older_gateway_excludes_is_warned_of() -> None:
    found = problem(secure("second", "shop.example"), GATEWAY.replace("number: 80", "number: 443"))
    assert (found.code, found.severity) == ("conflict", "warning")
    assert (found.path, found.line) == ("spec.servers[0].port.protocol", 7)
    assert "has opened port 443 with another protocol than HTTPS" in found.message


def test_an_sni_host_that_an_older_gateway_has_is_warned_of() -> None:
    found = problem(secure("second", "b.example", "./shop.example"), secure("web", "shop.example"))
    assert (found.code, found.path, found.line) == ("conflict", "spec.servers[0].hosts[1]", 8)
    assert "already served by the older Gateway default/web; this server is not" in found.message


def test_a_gateway_of_two_pools_is_warned_once() -> None:
    pools = (INGRESS, Pool("second", INGRESS.labels))
    mesh = Mesh(GATEWAY, GATEWAY.replace("name: web", "name: newer"), pools=pools)
    assert mesh.warnings() == ["conflict spec.servers[0].hosts[0]"]


def test_rules_for_one_host_with_different_subsets_are_no_conflict() -> None:
    second = """\
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: second}
spec: {host: reviews, subsets: [{name: v2, labels: {version: v2}}]}
"""
    assert problems(second, RULE) == []


def test_mtls_to_a_host_outside_is_refused_whichever_comes_first() -> None:
    tls = """\
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: outside}
spec: {host: api.example, trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}}
"""
    found = problem(tls, ENTRY)
    assert (found.code, found.severity, found.path) == (
        "not-supported-yet",
        "error",
        "spec.trafficPolicy.tls",
    )
    [elsewhere] = problems(ENTRY, tls)
    assert elsewhere.severity == "error"
    assert elsewhere.message.startswith("DestinationRule default/outside: ISTIO_MUTUAL")


def test_a_document_given_twice_is_an_error() -> None:
    found = [p for p in problems(f"{RULE}---\n{RULE}") if p.code == "duplicate"]
    assert [(p.line, p.severity) for p in found] == [(11, "error")]
    assert "first at f.yaml:1" in found[0].message


def test_all_problems_come_at_once_in_the_order_of_lines() -> None:
    text = ROUTE.replace("http:", "tcp: []\n  http:\n  - mirror: {host: a}") + "---\n" + EDGE
    found = problems(text)
    assert [(p.line, p.code) for p in found] == [
        (6, "not-supported-yet"),
        (8, "contradiction"),
        (8, "not-supported-yet"),
        (9, "contradiction"),
        (10, "missing-reference"),
        (17, "missing-reference"),
    ]


def test_check_is_of_documents_that_the_world_holds() -> None:
    world = applied(World.of((), BOOKINFO), ROUTE).world
    assert [p.path for p in check(world, parsed(ROUTE).documents)] == [
        "spec.http[0].route[0].destination.subset"
    ]
