"""gateway/<pool>: listeners, domains, merging."""

from tests.support.policy_mesh import Mesh
from tulle.policies.config import Redirect, Route, ServerTls

GATEWAY = """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: web}
spec:
  selector: {istio: ingressgateway}
  servers:
  - port: {number: 80, name: http, protocol: HTTP}
    hosts: ["*.example", "a.example"]
  - port: {number: 81, name: alt, protocol: HTTP}
    hosts: ["*"]
"""
ROUTES = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: NAME}
spec:
  hosts: HOSTS
  gateways: [web]
  http: [{route: [{destination: {host: reviews}}]}]
"""


def routes(name: str, *hosts: str) -> str:
    return ROUTES.replace("NAME", name).replace("HOSTS", str(list(hosts)))


def domains(mesh: Mesh, port: int) -> list[tuple[str, ...]]:
    [listener] = [x for x in mesh.gateway().listeners if x.port == port]
    return [host.domains for host in listener.virtual_hosts]


def test_a_gateway_without_routes_listens_all_the_same() -> None:
    assert [(x.port, x.virtual_hosts) for x in Mesh(GATEWAY).gateway().listeners] == [
        (80, ()),
        (81, ()),
    ]


def test_a_domain_is_the_more_specific_of_server_and_virtual_service() -> None:
    mesh = Mesh(GATEWAY, routes("one", "*", "b.example", "other.org"))
    assert domains(mesh, 80) == [("a.example", "b.example", "*.example")]
    assert domains(mesh, 81) == [("b.example", "other.org", "*")]


def test_exact_domains_come_first_then_the_longest_wildcard() -> None:
    details = routes("y", "*.example").replace("reviews", "details")
    mesh = Mesh(GATEWAY, routes("x", "*.a.example"), details)
    assert domains(mesh, 80) == [("a.example", "*.example"), ("*.a.example",)]


def test_a_gateway_that_selects_another_pool_is_not_there() -> None:
    mesh = Mesh(GATEWAY.replace("ingressgateway", "other"))
    assert mesh.gateway().listeners == ()


def test_an_empty_selector_selects_every_pool() -> None:
    mesh = Mesh(GATEWAY.replace("{istio: ingressgateway}", "{}"))
    assert [listener.port for listener in mesh.gateway().listeners] == [80, 81]


def test_routes_of_one_virtual_service_are_there_once_however_many_servers_match() -> None:
    second = GATEWAY.replace("name: web}", "name: web2}")
    text = routes("one", "a.example").replace("gateways: [web]", "gateways: [web, web2]")
    [listener, _] = Mesh(GATEWAY, second, text).gateway().listeners
    [virtual_host] = listener.virtual_hosts
    assert len(virtual_host.routes) == 1


def test_the_clusters_are_inlined_once_and_sorted() -> None:
    names = [c.name for c in Mesh(GATEWAY, routes("one", "a.example", "*")).gateway().clusters]
    assert names == ["outbound|9080||reviews.default.svc.cluster.local"]


def test_an_https_server_has_its_tls_and_its_routes() -> None:
    text = GATEWAY.replace("protocol: HTTP}", "protocol: HTTPS}")
    text = text.replace('["*.example", "a.example"]', '["*.example", ./a.example]\n    tls: TLS')
    text = text.replace('hosts: ["*"]', 'hosts: ["*"]\n    tls: TLS')
    text = text.replace("TLS\n", "{mode: SIMPLE, credentialName: shop}\n")
    first, second = Mesh(text, routes("one", "a.example")).gateway().listeners
    assert (first.port, first.protocol) == (80, "HTTPS")
    assert first.tls == (ServerTls(("a.example", "*.example"), credential="shop"),)
    assert second.tls == (ServerTls(("*",), credential="shop"),)
    assert [host.domains for host in first.virtual_hosts] == [("a.example",)]


def test_a_redirect_is_a_route_of_the_gateway() -> None:
    text = GATEWAY.replace(
        '["*.example", "a.example"]', '["*.example"]\n    tls: {httpsRedirect: true}'
    )
    listener = Mesh(text, routes("one", "a.example")).gateway().listeners[0]
    [host] = listener.virtual_hosts
    assert host.domains == ("a.example", "*.example")
    assert host.routes == (
        Route(
            "https-redirect",
            (),
            (),
            source="Gateway/default/web",
            redirect=Redirect(301, scheme="https", derive_port="FROM_PROTOCOL_DEFAULT"),
        ),
    )
