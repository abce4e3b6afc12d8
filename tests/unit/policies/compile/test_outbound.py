"""outbound/<host>: ports, routes and clusters of one host."""

from tests.support.policy_mesh import Mesh, service
from tulle.policies.config import HttpMatch, Route, StringMatch, Target
from tulle.policies.world import Port, Service

REVIEWS = "outbound|9080||reviews.default.svc.cluster.local"
RATINGS = "outbound|9080||ratings.default.svc.cluster.local"


def routes(http: str) -> tuple[Route, ...]:
    """The routes that the http rules of a VirtualService for reviews are compiled to."""
    rules = "\n".join(f"  {line}" for line in http.strip().splitlines())
    text = f"""\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: reviews}}
spec:
  hosts: [reviews]
  http:
{rules}
"""
    [port] = Mesh(text).outbound("reviews").ports
    return port.routes


def test_without_policies_each_port_has_one_route() -> None:
    config = Mesh(services=[service("a", 80, 8080)]).outbound("a")
    assert [(port.port, port.protocol, len(port.routes)) for port in config.ports] == [
        (80, "http", 1),
        (8080, "http", 1),
    ]
    assert config.ports[0].routes[0] == Route(
        "default", (), (Target("outbound|80||a.default.svc.cluster.local", 1),)
    )


def test_a_tcp_port_has_its_default_route_whatever_a_virtual_service_says() -> None:
    db = Service("default", "db", (Port(5432, "", "tcp"), Port(8080)))
    text = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: db}
spec:
  hosts: [db]
  http:
  - route: [{destination: {host: db, port: {number: 8080}}}]
"""
    config = Mesh(text, services=[db]).outbound("db")
    tcp, http = config.ports
    name = "outbound|5432||db.default.svc.cluster.local"
    assert (tcp.port, tcp.protocol) == (5432, "tcp")
    assert tcp.routes == (Route("default", (), (Target(name, 1),)),)
    assert http.routes[0].source == "VirtualService/default/db"
    (cluster,) = [it for it in config.clusters if it.name == name]
    assert (cluster.protocol, cluster.tls, cluster.service) == ("tcp", "ISTIO_MUTUAL", "default/db")


def test_a_service_without_ports_has_no_routes() -> None:
    config = Mesh(services=[Service("default", "sleep", ())]).outbound("sleep")
    assert (config.ports, config.clusters) == ((), ())


def test_a_rule_becomes_a_route_with_its_source() -> None:
    [route] = routes("- {name: all, timeout: 1s, route: [{destination: {host: ratings}}]}")
    assert route == Route(
        "all", (), (Target(RATINGS, 1),), timeout_ms=1000, source="VirtualService/default/reviews"
    )


def test_what_stands_behind_a_route_for_everything_is_left_out() -> None:
    found = routes("""
- match: [{uri: {exact: /a}}]
  route: [{destination: {host: ratings}}]
- match: [{uri: {prefix: /}}]
  route: [{destination: {host: reviews}}]
- route: [{destination: {host: details}}]
""")
    assert [(route.name, len(route.matches)) for route in found] == [("http[0]", 1), ("http[1]", 0)]


def test_headers_are_in_lower_case_and_sorted() -> None:
    [route] = routes("""
- match: [{headers: {X-B: {regex: "*"}, A: {prefix: p}}}]
  route: [{destination: {host: ratings}}]
""")
    assert route.matches == (
        HttpMatch(headers=(("a", StringMatch("prefix", "p")), ("x-b", StringMatch("present")))),
    )


def test_ignoring_the_case_of_a_path_is_for_exact_and_prefix() -> None:
    [route] = routes("""
- match:
  - {uri: {prefix: /A}, ignoreUriCase: true}
  - {uri: {regex: /A}, ignoreUriCase: true}
  - {uri: {exact: /A}, method: {exact: GET}, ignoreUriCase: true}
  route: [{destination: {host: ratings}}]
""")
    uris = [match.uri for match in route.matches]
    assert uris == [
        StringMatch("prefix", "/A", ignore_case=True),
        StringMatch("regex", "/A"),
        StringMatch("exact", "/A", ignore_case=True),
    ]
    assert route.matches[2].method == StringMatch("exact", "GET")


def test_targets_of_one_cluster_are_one_and_those_without_weight_none() -> None:
    [route] = routes("""
- route:
  - {destination: {host: ratings}, weight: 1}
  - {destination: {host: details}, weight: 0}
  - {destination: {host: reviews}, weight: 2}
  - {destination: {host: ratings.default.svc.cluster.local}, weight: 3}
""")
    assert route.targets == (Target(RATINGS, 4), Target(REVIEWS, 2))
