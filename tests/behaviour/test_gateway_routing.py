"""What the ingress does with a request, under Gateways and VirtualServices."""

import pytest

from tests.support.policy_mesh import Mesh, service
from tulle.policies.world import INGRESS, Pool

GATEWAY = """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: web}
spec:
  selector: {istio: ingressgateway}
  servers:
  - port: {number: 80, name: http, protocol: HTTP}
    hosts: [shop.example, "*.shop.example"]
  - port: {number: 8080, name: open, protocol: HTTP}
    hosts: ["*"]
"""
SHOP = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop}
spec:
  hosts: [shop.example, www.shop.example]
  gateways: [web]
  http:
  - match: [{uri: {prefix: /reviews}, port: 80}]
    route: [{destination: {host: reviews}}]
  - match: [{uri: {prefix: /ratings}}]
    route: [{destination: {host: ratings}}]
"""
ANY = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: any}
spec:
  hosts: ["*"]
  gateways: [web]
  http: [{route: [{destination: {host: productpage}}]}]
"""
CASES = [
    ("a host and a path", "GET http://shop.example/reviews/1", "reviews"),
    ("the other host", "GET http://www.shop.example/ratings", "ratings"),
    ("a host has no case", "GET http://SHOP.example/ratings", "ratings"),
    ("the port in Host does not count", "GET http://shop.example:80/ratings", "ratings"),
    ("what they leave is for those of *", "GET http://shop.example/", "productpage"),
    ("a wildcard of the server", "GET http://api.shop.example/x", "productpage"),
    ("a host that no server names", "GET http://other.example/", "404 route_not_found"),
    ("the server for all hosts", "GET http://other.example:8080/", "productpage"),
    ("a specific host there too", "GET http://shop.example:8080/ratings", "ratings"),
    ("a match for another port", "GET http://shop.example:8080/reviews", "404 route_not_found"),
    ("a port that no gateway opens", "GET http://shop.example:81/", "404 no_gateway"),
]


@pytest.mark.parametrize(
    ("request_", "answer"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_hosts_paths_and_ports(request_: str, answer: str) -> None:
    assert Mesh(GATEWAY, SHOP, ANY).enter(request_) == answer


def test_a_path_that_no_rule_takes_is_404() -> None:
    assert Mesh(GATEWAY, SHOP).enter("GET http://shop.example/") == "404 route_not_found"


def test_without_a_gateway_there_is_none() -> None:
    assert Mesh(SHOP).enter("GET http://shop.example/ratings") == "404 no_gateway"


def test_gateway_routes_are_not_for_the_mesh() -> None:
    assert Mesh(GATEWAY, SHOP, ANY).send("GET http://shop.example/ratings") == "passthrough"


def test_a_gateway_of_another_namespace_is_named_with_it() -> None:
    gateway = GATEWAY.replace("{name: web}", "{name: web, namespace: edge}")
    assert Mesh(gateway, SHOP).enter("GET http://shop.example/ratings") == "404 route_not_found"
    named = SHOP.replace("[web]", "[edge/web]")
    assert Mesh(gateway, named).enter("GET http://shop.example/ratings") == "ratings"


@pytest.mark.parametrize(
    ("host", "answer"),
    [
        ("*/shop.example", "ratings"),
        ("default/shop.example", "ratings"),
        ("./shop.example", "ratings"),
        ("default/*", "ratings"),
        ("other/shop.example", "404 route_not_found"),
        ("other/*", "404 route_not_found"),
    ],
)
def test_a_server_may_say_whose_routes_it_takes(host: str, answer: str) -> None:
    gateway = GATEWAY.replace('[shop.example, "*.shop.example"]', f'["{host}"]')
    assert Mesh(gateway, SHOP).enter("GET http://shop.example/ratings") == answer


def test_destinations_are_of_the_routes_namespace() -> None:
    text = SHOP.replace("{name: shop}", "{name: shop, namespace: store}").replace(
        "[web]", "[default/web]"
    )
    mesh = Mesh(GATEWAY, text, services=[service("ratings", namespace="store")])
    assert mesh.enter("GET http://shop.example/ratings") == "ratings.store"


def test_virtual_services_of_one_host_are_merged_the_older_first() -> None:
    older = ANY.replace('"*"', "shop.example").replace("host: productpage", "host: details")
    mesh = Mesh(GATEWAY, older, SHOP)
    assert mesh.enter("GET http://shop.example/ratings") == "ratings"
    assert mesh.enter("GET http://shop.example/other") == "details"
    newer = older.replace("{name: any}", "{name: newer}").replace("details", "productpage")
    mesh = Mesh(GATEWAY, older, newer)
    assert mesh.enter("GET http://shop.example/") == "details"
    assert mesh.warnings() == ["conflict spec.gateways[0]"]


def test_gateways_of_one_pool_are_merged() -> None:
    second = GATEWAY.replace("{name: web}", "{name: second}").replace("shop.example", "b.example")
    other = ANY.replace('"*"', "b.example").replace("[web]", "[second]")
    mesh = Mesh(GATEWAY, second, SHOP, other)
    assert mesh.enter("GET http://b.example/") == "productpage"
    assert mesh.enter("GET http://shop.example/ratings") == "ratings"


def test_rules_may_be_for_one_of_two_gateways() -> None:
    second = GATEWAY.replace("{name: web}", "{name: second}").replace("shop.example", "b.example")
    routes = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: both}
spec:
  hosts: [shop.example, b.example]
  gateways: [web, second]
  http:
  - match: [{gateways: [second]}]
    route: [{destination: {host: details}}]
  - route: [{destination: {host: ratings}}]
"""
    mesh = Mesh(GATEWAY, second, routes)
    assert mesh.enter("GET http://shop.example/") == "ratings"
    assert mesh.enter("GET http://b.example/") == "details"


def test_a_selector_picks_its_pool() -> None:
    pools = (INGRESS, Pool("inner", (("istio", "inner"),)))
    inner = GATEWAY.replace("ingressgateway", "inner")
    mesh = Mesh(inner, ANY, pools=pools)
    assert mesh.enter("GET http://a:8080/", pool="inner") == "productpage"
    assert mesh.enter("GET http://a:8080/") == "404 no_gateway"
    everywhere = Mesh(inner.replace("{istio: inner}", "{}"), ANY, pools=pools)
    assert everywhere.enter("GET http://a:8080/", pool="inner") == "productpage"
    assert everywhere.enter("GET http://a:8080/") == "productpage"


def test_subsets_and_weights_at_the_gateway() -> None:
    subsets = """\
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews}
spec:
  host: reviews
  subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]
"""
    canary = ANY.replace(
        "route: [{destination: {host: productpage}}]",
        "route: [{destination: {host: reviews, subset: v1}, weight: 3}, "
        "{destination: {host: reviews, subset: v2}, weight: 1}]",
    )
    mesh = Mesh(GATEWAY, subsets, canary)
    answers = [mesh.enter("GET http://a:8080/", uniform=n / 8) for n in range(8)]
    assert answers == ["reviews v1"] * 6 + ["reviews v2"] * 2
    assert Mesh(GATEWAY, canary).enter("GET http://a:8080/") == "503 unknown_subset"


def test_mesh_and_gateway_together() -> None:
    both = SHOP.replace("[web]", "[web, mesh]")
    mesh = Mesh(GATEWAY, both)
    assert mesh.enter("GET http://shop.example/ratings") == "ratings"
    assert mesh.send("GET http://shop.example/ratings") == "ratings"
