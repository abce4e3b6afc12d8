"""What a sidecar does with a request, under policies as users write them."""

import pytest

from tests.support.policy_mesh import Mesh, service

SUBSETS = """\
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews}
spec:
  host: reviews
  subsets:
  - {name: v1, labels: {version: v1}}
  - {name: v2, labels: {version: v2}}
  - {name: v3, labels: {version: v3}}
"""


def reviews(http: str, hosts: str = "[reviews]", extra: str = "") -> Mesh:
    """A mesh with subsets of reviews and a VirtualService with these http rules."""
    rules = "\n".join(f"  {line}" for line in http.strip().splitlines())
    head = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: reviews}\n"
    return Mesh(SUBSETS, f"{head}spec:\n  hosts: {hosts}\n{extra}  http:\n{rules}\n")


JASON = """\
- match:
  - headers: {end-user: {exact: jason}}
  route: [{destination: {host: reviews, subset: v2}}]
- route: [{destination: {host: reviews, subset: v1}}]
"""
MATCHES = """\
- match:
  - uri: {exact: /exact}
  - uri: {prefix: /prefix/}
  - uri: {regex: "/v[0-9]+/.*"}
  route: [{destination: {host: reviews, subset: v2}}]
- match:
  - method: {exact: POST}
    headers: {x-canary: {}, x-group: {prefix: beta-}}
  - authority: {regex: "reviews\\\\.default(:9080)?"}
  route: [{destination: {host: reviews, subset: v3}}]
- match:
  - uri: {prefix: /case}
    ignoreUriCase: true
  - uri: {exact: /Exact/Case}
    ignoreUriCase: true
  route: [{destination: {host: reviews, subset: v1}}]
"""
CASES = [
    # Headers.
    ("jason is sent to v2", JASON, ["GET http://reviews:9080/", "end-user: jason"], "reviews v2"),
    ("header names have no case", JASON, ["GET http://reviews/", "End-User: jason"], "reviews v2"),
    ("header values have", JASON, ["GET http://reviews/", "end-user: Jason"], "reviews v1"),
    ("everybody else stays on v1", JASON, ["GET http://reviews/"], "reviews v1"),
    ("an empty header is not jason", JASON, ["GET http://reviews/", "end-user: "], "reviews v1"),
    (
        "a header given twice is one value joined by commas",
        JASON,
        ["GET http://reviews/", "end-user: jason", "end-user: jason"],
        "reviews v1",
    ),
    # Paths.
    ("an exact path", MATCHES, ["GET http://reviews/exact"], "reviews v2"),
    ("the query is not part of it", MATCHES, ["GET http://reviews/exact?a=/b"], "reviews v2"),
    ("nor is a longer path", MATCHES, ["GET http://reviews/exact/"], "404 route_not_found"),
    ("an exact path has a case", MATCHES, ["GET http://reviews/Exact"], "404 route_not_found"),
    ("a prefix", MATCHES, ["GET http://reviews/prefix/x/y"], "reviews v2"),
    ("a prefix is compared as text", MATCHES, ["GET http://reviews/prefix"], "404 route_not_found"),
    ("a regex is the whole path", MATCHES, ["GET http://reviews/v12/x"], "reviews v2"),
    ("not a part of it", MATCHES, ["GET http://reviews/a/v12/x"], "404 route_not_found"),
    ("a regex never sees the query", MATCHES, ["GET http://reviews/v1?/x"], "404 route_not_found"),
    ("ignoreUriCase on a prefix", MATCHES, ["GET http://reviews/CaSe/X"], "reviews v1"),
    ("ignoreUriCase on an exact path", MATCHES, ["GET http://reviews/exact/CASE"], "reviews v1"),
    # Methods, several conditions, authority.
    (
        "all conditions of a match hold",
        MATCHES,
        ["POST http://reviews/", "x-canary: 0", "x-group: beta-1"],
        "reviews v3",
    ),
    (
        "one that does not is enough",
        MATCHES,
        ["PUT http://reviews/", "x-canary: 0", "x-group: beta-1"],
        "404 route_not_found",
    ),
    (
        "a header without a condition must be there",
        MATCHES,
        ["POST http://reviews/", "x-group: beta-1"],
        "404 route_not_found",
    ),
    (
        "the authority as it came",
        MATCHES,
        ["GET http://reviews.default/"],
        "reviews v3",
    ),
    ("with its port", MATCHES, ["GET http://reviews.default:9080/"], "reviews v3"),
    ("another name of the host", MATCHES, ["GET http://reviews/"], "404 route_not_found"),
]


@pytest.mark.parametrize(
    ("http", "request_", "answer"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_matches(http: str, request_: list[str], answer: str) -> None:
    assert reviews(http).send(*request_) == answer


@pytest.mark.parametrize(
    "host",
    ["reviews", "reviews.default", "reviews.default.svc", "reviews.default.svc.cluster.local"],
)
@pytest.mark.parametrize("written", ["reviews", "reviews.default", '"*.default.svc.cluster.local"'])
def test_all_names_of_a_service_lead_to_its_routes(host: str, written: str) -> None:
    mesh = reviews(JASON, hosts=f"[{written}]")
    assert mesh.send(f"GET http://{host}:9080/", "end-user: jason") == "reviews v2"


def test_without_policies_a_service_is_reached_as_it_is() -> None:
    mesh = Mesh()
    assert mesh.send("GET http://ratings:9080/") == "ratings"
    assert mesh.send("DELETE http://ratings/x?y") == "ratings"
    assert mesh.send("GET http://example.com/") == "passthrough"


def test_a_short_name_is_one_of_the_clients_namespace() -> None:
    mesh = Mesh(services=[service("a"), service("a", namespace="shop"), service("b")])
    assert mesh.send("GET http://a/", namespace="default") == "a"
    assert mesh.send("GET http://a/", namespace="shop") == "a.shop"
    assert mesh.send("GET http://b/", namespace="shop") == "passthrough"
    assert mesh.send("GET http://b.default/", namespace="shop") == "b"


def test_a_short_destination_is_one_of_the_policys_namespace() -> None:
    policy = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: a, namespace: shop}
spec:
  hosts: [a.default.svc.cluster.local]
  http: [{route: [{destination: {host: b}}]}]
"""
    services = [service("a"), service("b"), service("b", namespace="shop")]
    assert Mesh(policy, services=services).send("GET http://a/") == "b.shop"


CANARY = """\
- route:
  - {destination: {host: reviews, subset: v1}, weight: 90}
  - {destination: {host: reviews, subset: v2}, weight: 10}
"""


@pytest.mark.parametrize(
    ("uniform", "answer"),
    [(0.0, "v1"), (0.5, "v1"), (0.899, "v1"), (0.9, "v2"), (0.999, "v2")],
)
def test_a_canary_gets_its_share(uniform: float, answer: str) -> None:
    assert reviews(CANARY).send("GET http://reviews/", uniform=uniform) == f"reviews {answer}"


def test_weights_are_shares_of_their_sum() -> None:
    mesh = reviews(CANARY.replace("90", "1").replace("10", "3"))
    answers = [mesh.send("GET http://reviews/", uniform=n / 100) for n in range(100)]
    assert answers.count("reviews v1") == 25


def test_a_weight_that_is_left_out_is_none() -> None:
    mesh = reviews(CANARY.replace(", weight: 10", ""))
    assert mesh.send("GET http://reviews/", uniform=0.999) == "reviews v1"


def test_a_single_destination_takes_all_whatever_its_weight() -> None:
    http = "- route: [{destination: {host: reviews, subset: v3}, weight: 0}]"
    assert reviews(http).send("GET http://reviews/", uniform=0.5) == "reviews v3"


def test_a_subset_that_nobody_names_is_503() -> None:
    http = "- route: [{destination: {host: reviews, subset: v9}}]"
    assert reviews(http).send("GET http://reviews/") == "503 unknown_subset"


def test_a_host_that_is_not_there_is_503() -> None:
    http = "- route: [{destination: {host: nowhere}}]"
    assert reviews(http).send("GET http://reviews/") == "503 unknown_cluster"


def test_a_port_that_is_not_there_is_503() -> None:
    http = "- route: [{destination: {host: reviews, port: {number: 81}}}]"
    assert reviews(http).send("GET http://reviews/") == "503 unknown_cluster"


def test_a_timeout_comes_with_the_choice() -> None:
    mesh = reviews("- timeout: 1.5s\n  route: [{destination: {host: reviews}}]")
    choice = mesh.choice("GET http://reviews/")
    assert choice is not None and choice.timeout == 1.5
    unlimited = Mesh().choice("GET http://reviews/")
    assert unlimited is not None and unlimited.timeout is None


def test_a_choice_names_its_route_and_policy() -> None:
    choice = reviews(JASON.replace("- route", "- name: rest\n  route")).choice(
        "GET http://reviews/"
    )
    assert choice is not None
    assert (choice.route.name, choice.route.source) == ("rest", "VirtualService/default/reviews")


PORTS = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web}
spec:
  hosts: [web]
  http:
  - match: [{port: 8080, uri: {prefix: /admin}}]
    route: [{destination: {host: admin}}]
  - match: [{port: 8080}]
    route: [{destination: {host: web}}]
"""
TWO_PORTS = [service("web", 80, 8080), service("admin", 9000)]


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        ("GET http://web:8080/admin", "admin:9000"),  # the only port of the destination
        ("GET http://web:8080/", "web:8080"),  # the port of the request
        ("GET http://web:80/admin", "web"),  # no route for this port: as without a policy
        ("GET http://web:81/", "404 unknown_port"),
    ],
)
def test_ports_of_matches_and_destinations(request_: str, answer: str) -> None:
    assert Mesh(PORTS, services=TWO_PORTS).send(request_) == answer


def test_rules_for_gateways_are_not_for_the_mesh() -> None:
    http = """\
- match: [{gateways: [web]}]
  route: [{destination: {host: reviews, subset: v1}}]
- match: [{gateways: [mesh], uri: {prefix: /m}}, {uri: {prefix: /both}}]
  route: [{destination: {host: reviews, subset: v2}}]
"""
    mesh = reviews(http, extra="  gateways: [mesh, web]\n")
    assert mesh.send("GET http://reviews/m") == "reviews v2"
    assert mesh.send("GET http://reviews/both") == "reviews v2"
    assert mesh.send("GET http://reviews/") == "404 route_not_found"


def test_a_virtual_service_for_gateways_alone_leaves_the_mesh_as_it_is() -> None:
    mesh = reviews("- route: [{destination: {host: ratings}}]", extra="  gateways: [web]\n")
    assert mesh.send("GET http://reviews/") == "reviews"


SECOND = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: NAME}
spec:
  hosts: [reviews]
  http: [{route: [{destination: {host: reviews, subset: VERSION}}]}]
"""


def second(name: str, version: str) -> str:
    return SECOND.replace("NAME", name).replace("VERSION", version)


def test_of_two_virtual_services_the_older_decides_and_the_newer_is_warned() -> None:
    mesh = Mesh(SUBSETS, second("zoe", "v1"), second("adam", "v2"))
    assert mesh.send("GET http://reviews/") == "reviews v1"
    assert mesh.warnings() == ["conflict spec.hosts[0]"]


def test_of_two_in_one_apply_the_name_decides_not_the_order() -> None:
    one, two = second("zoe", "v1"), second("adam", "v2")
    for text in (f"{one}---\n{two}", f"{two}---\n{one}"):
        assert Mesh(SUBSETS, text).send("GET http://reviews/") == "reviews v2"


def test_a_changed_policy_keeps_its_age() -> None:
    mesh = Mesh(SUBSETS, second("zoe", "v1"), second("adam", "v2"), second("zoe", "v3"))
    assert mesh.send("GET http://reviews/") == "reviews v3"


def test_a_wildcard_waits_behind_an_exact_host() -> None:
    wide = second("wide", "v1").replace("[reviews]", '["*.default.svc.cluster.local"]')
    mesh = Mesh(SUBSETS, wide, second("exact", "v2"))
    assert mesh.send("GET http://reviews/") == "reviews v2"
    assert mesh.send("GET http://ratings:9080/") == "reviews v1"
    assert mesh.send("GET http://later.default.svc.cluster.local/") == "reviews v1"


def test_a_virtual_service_makes_its_host_known() -> None:
    policy = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: store}
spec:
  hosts: [store.example]
  http:
  - match: [{uri: {prefix: /reviews}}]
    route: [{destination: {host: reviews}}]
"""
    mesh = Mesh(policy)
    assert mesh.send("GET http://store.example/reviews/1") == "reviews"
    assert mesh.send("GET http://store.example/") == "404 route_not_found"


def test_a_route_to_a_service_that_comes_later_works_when_it_is_there() -> None:
    policy = second("reviews", "v1")
    assert Mesh(SUBSETS, policy, services=()).send("GET http://reviews/") == "503 unknown_cluster"
    assert Mesh(SUBSETS, policy).send("GET http://reviews/") == "reviews v1"


def test_what_is_not_http_is_not_routed_by_http_rules() -> None:
    from tulle.policies.world import Port, Service

    tcp = Service("default", "reviews", (Port(9080, "tcp", "tcp"),))
    assert Mesh(SUBSETS, second("r", "v2"), services=[tcp]).send("GET http://reviews/") == "reviews"
