"""Which requests a rule is for, by missing headers, by the query, by who sends them."""

import pytest

from tests.support.policy_mesh import Mesh, service, virtual_service

RULES = """\
- match: [{withoutHeaders: {x-debug: {}}, uri: {prefix: /plain}}]
  route: [{destination: {host: ratings}}]
- match: [{withoutHeaders: {x-team: {exact: blue}}, uri: {prefix: /not-blue}}]
  route: [{destination: {host: ratings}}]
- match: [{withoutHeaders: {x-a: {prefix: old-}, x-b: {regex: "v[0-9]+"}}, uri: {prefix: /both}}]
  route: [{destination: {host: ratings}}]
- match: [{withoutHeaders: {X-Any: {regex: "*"}}, uri: {prefix: /any}}]
  route: [{destination: {host: ratings}}]
- match: [{headers: {x-in: {}}, withoutHeaders: {x-out: {}}, uri: {prefix: /mixed}}]
  route: [{destination: {host: ratings}}]
- match: [{queryParams: {user: {exact: jason}}, uri: {prefix: /query}}]
  route: [{destination: {host: ratings}}]
- match: [{queryParams: {flag: {exact: ""}}, uri: {exact: /flag}}]
  route: [{destination: {host: ratings}}]
- match: [{queryParams: {page: {regex: "[0-9]+"}, sort: {prefix: by-}}, uri: {exact: /list}}]
  route: [{destination: {host: ratings}}]
- match: [{queryParams: {token: {}}, uri: {exact: /token}}, {uri: {exact: /free}}]
  route: [{destination: {host: ratings}}]
- route: [{destination: {host: reviews}}]
"""
TAKEN, LEFT = "ratings", "reviews"
CASES = [
    ("a header that must not be there is not", "/plain", (), TAKEN),
    ("a header that must not be there is", "/plain", ("x-debug: 0",), LEFT),
    ("it counts though it is empty", "/plain", ("x-debug: ",), LEFT),
    ("without a value: another value will do", "/not-blue", ("x-team: red",), TAKEN),
    ("without a value: no header will do", "/not-blue", (), TAKEN),
    ("without a value: that value will not", "/not-blue", ("x-team: blue",), LEFT),
    ("its name has no case", "/not-blue", ("X-Team: blue",), LEFT),
    ("of several, none may match", "/both", ("x-a: new", "x-b: v"), TAKEN),
    ("a prefix is enough to be refused", "/both", ("x-a: old-1",), LEFT),
    ("so is a regex", "/both", ("x-b: v12",), LEFT),
    ("a regex has to fit the whole value", "/both", ("x-b: v12x",), TAKEN),
    ("a star stands for every value", "/any", ("x-any: thing",), LEFT),
    ("a star stands for no missing header", "/any", (), TAKEN),
    ("one header there and another not", "/mixed", ("x-in: 1",), TAKEN),
    ("both there", "/mixed", ("x-in: 1", "x-out: 1"), LEFT),
    ("neither there", "/mixed", (), LEFT),
    ("a query parameter", "/query?user=jason", (), TAKEN),
    ("among others", "/query?a=b&user=jason&c", (), TAKEN),
    ("of another value", "/query?user=jasons", (), LEFT),
    ("of another case", "/query?User=jason", (), LEFT),
    ("only the first of a name counts", "/query?user=jason&user=eve", (), TAKEN),
    ("not the second", "/query?user=eve&user=jason", (), LEFT),
    ("it is compared as written, not decoded", "/query?user=j%61son", (), LEFT),
    ("no query at all", "/query", (), LEFT),
    ("the path is no query", "/query/user=jason", (), LEFT),
    ("a parameter without a value is empty", "/flag?flag", (), TAKEN),
    ("as is one with nothing behind the =", "/flag?flag=", (), TAKEN),
    ("a missing one is not empty", "/flag?other", (), LEFT),
    ("the path of such a rule ends before the query", "/flag/x?flag", (), LEFT),
    ("several parameters, all must hold", "/list?sort=by-name&page=12", (), TAKEN),
    ("one does not", "/list?sort=by-name&page=x", (), LEFT),
    ("a regex has to fit the whole parameter", "/list?sort=by-name&page=1x", (), LEFT),
    ("a parameter that only has to be there", "/token?token=anything", (), TAKEN),
    ("is not there", "/token?tok=1", (), LEFT),
    ("another match of the rule asks for no query", "/free?x=/y", (), TAKEN),
]


@pytest.mark.parametrize(
    ("path", "headers", "answer"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_headers_and_queries(path: str, headers: tuple[str, ...], answer: str) -> None:
    mesh = Mesh(virtual_service(RULES))
    assert mesh.send(f"GET http://reviews:9080{path}", *headers) == answer


CLIENTS = """\
- match: [{sourceNamespace: shop, uri: {prefix: /ns}}]
  route: [{destination: {host: ratings}}]
- match: [{sourceLabels: {app: web, version: v2}, uri: {prefix: /labels}}]
  route: [{destination: {host: ratings}}]
- match: [{sourceNamespace: shop, sourceLabels: {app: web}}]
  route: [{destination: {host: details}}]
- match: [{scheme: {exact: https}, uri: {prefix: /scheme}}]
  route: [{destination: {host: ratings}}]
- match: [{scheme: {regex: "http|ws"}, uri: {prefix: /regex}}]
  route: [{destination: {host: ratings}}]
- route: [{destination: {host: reviews}}]
"""
V2 = {"app": "web", "version": "v2", "tier": "front"}
CLIENT_CASES: list[tuple[str, str, str, dict[str, str], str]] = [
    ("a client of the namespace", "/ns", "shop", {}, TAKEN),
    ("a client of another", "/ns", "default", {}, LEFT),
    ("a client with these labels and more", "/labels", "default", V2, TAKEN),
    ("a client with only one of them", "/labels", "default", {"app": "web"}, LEFT),
    ("a label of another value", "/labels", "default", {**V2, "version": "v1"}, LEFT),
    ("a client without labels", "/labels", "default", {}, LEFT),
    ("namespace and labels take every request", "/x", "shop", {"app": "web"}, "details"),
    ("the namespace alone does not", "/x", "shop", {"app": "db"}, LEFT),
    ("nor do the labels", "/x", "default", {"app": "web"}, LEFT),
    ("a sidecar's clients speak plain http", "/scheme", "default", {}, LEFT),
    ("a regex for the scheme", "/regex", "default", {}, TAKEN),
]


@pytest.mark.parametrize(
    ("path", "namespace", "labels", "answer"),
    [case[1:] for case in CLIENT_CASES],
    ids=[case[0] for case in CLIENT_CASES],
)
def test_clients(path: str, namespace: str, labels: dict[str, str], answer: str) -> None:
    mesh = Mesh(virtual_service(CLIENTS))
    request = f"GET http://reviews.default:9080{path}"
    assert mesh.send(request, namespace=namespace, labels=labels) == answer


GATEWAY = """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: web}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]
"""
EDGE = """\
- match: [{scheme: {exact: http}, uri: {prefix: /http}}]
  route: [{destination: {host: ratings}}]
- match: [{sourceLabels: {istio: ingressgateway}, uri: {prefix: /edge}}]
  route: [{destination: {host: ratings}}]
- match: [{sourceNamespace: default, uri: {prefix: /inside}}]
  route: [{destination: {host: ratings}}]
- match: [{queryParams: {beta: {}}}]
  route: [{destination: {host: details}}]
- route: [{destination: {host: reviews}}]
"""


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        pytest.param("/http", TAKEN, id="the scheme of a gateway's plain listener"),
        pytest.param("/edge", TAKEN, id="the labels of the gateway itself are the source's"),
        pytest.param("/inside", LEFT, id="a gateway is no client of the default namespace"),
        pytest.param("/x?beta", "details", id="a query through a gateway"),
        pytest.param("/x?alpha", LEFT, id="another query through a gateway"),
    ],
)
def test_gateways(path: str, answer: str) -> None:
    mesh = Mesh(GATEWAY, virtual_service(EDGE, hosts='["*"]', gateways="[web]"))
    assert mesh.enter(f"GET http://shop.example{path}") == answer


def test_a_rule_for_other_clients_leaves_those_behind_it_reachable() -> None:
    http = """\
- match: [{sourceNamespace: shop}]
  route: [{destination: {host: ratings}}]
- route: [{destination: {host: details}}]
"""
    mesh = Mesh(virtual_service(http))
    assert mesh.send("GET http://reviews/") == "details"
    assert mesh.send("GET http://reviews.default/", namespace="shop") == "ratings"


def test_a_rule_for_other_clients_alone_leaves_no_route() -> None:
    http = "- match: [{sourceNamespace: shop}]\n  route: [{destination: {host: ratings}}]"
    assert Mesh(virtual_service(http)).send("GET http://reviews/") == "404 route_not_found"


def test_ports_are_of_the_host_that_is_addressed() -> None:
    http = """\
- match: [{port: 9081, queryParams: {v: {exact: "2"}}}]
  route: [{destination: {host: ratings}}]
"""
    mesh = Mesh(
        virtual_service(http), services=[service("reviews", 9080, 9081), service("ratings")]
    )
    assert mesh.send("GET http://reviews:9081/?v=2") == "ratings"
    assert mesh.send("GET http://reviews:9080/?v=2") == "reviews"
