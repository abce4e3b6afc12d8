"""HTTPS at the ingress: whose certificate is shown for an SNI, and what plain HTTP is told."""

from collections.abc import Sequence

import pytest

from tests.support.policy_mesh import Mesh
from tulle.policies.config import GatewayListener, ServerTls
from tulle.policies.hostnames import HostTable

HEAD = """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: NAME}
spec:
  selector: {istio: ingressgateway}
  servers:
"""
SHOP = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop}
spec:
  hosts: [shop.example]
  gateways: [web, old, new]
  http: [{route: [{destination: {host: reviews}}]}]
"""
FILES = "serverCertificate: /c.pem, privateKey: /k.pem"
SIMPLE = f"mode: SIMPLE, {FILES}"
MUTUAL = f"mode: MUTUAL, {FILES}, caCertificates: /ca.pem"
REDIRECT = "httpsRedirect: true"


def http(hosts: str, *, port: int = 80, tls: str = "") -> str:
    return _server("HTTP", hosts, port, tls)


def https(hosts: str, tls: str = "mode: SIMPLE, credentialName: shop", *, port: int = 443) -> str:
    return _server("HTTPS", hosts, port, tls)


def _server(protocol: str, hosts: str, port: int, tls: str) -> str:
    name = "-".join([protocol, str(port), *(c for c in hosts if c.isalnum())]).lower()
    text = (
        f"  - port: {{number: {port}, name: {name}, protocol: {protocol}}}\n    hosts: [{hosts}]\n"
    )
    return text + (f"    tls: {{{tls}}}\n" if tls else "")


def gateway(*servers: str, name: str = "web") -> str:
    return HEAD.replace("NAME", name) + "".join(servers)


def listener(mesh: Mesh, port: int) -> GatewayListener:
    [found] = [listener for listener in mesh.gateway().listeners if listener.port == port]
    return found


def shown(mesh: Mesh, sni: str, port: int = 443) -> str:
    """The credential or certificate for an SNI: that of the most specific host."""
    table = {host: tls for tls in listener(mesh, port).tls for host in tls.hosts}
    tls = HostTable(table).find(sni)
    return (tls.credential or tls.certificate) if tls is not None else "none"


def told(mesh: Mesh, host: str, port: int = 80) -> str:
    """What a request to `host` gets: where it is sent to, or where it goes."""
    return mesh.enter(f"GET http://{host}:{port}/cart?id=1")


TO_HTTPS = "301 location: https://shop.example/cart?id=1"

ENDS: list[tuple[str, str, ServerTls]] = [
    (
        "a server by a credential",
        "mode: SIMPLE, credentialName: shop",
        ServerTls(("shop.example",), credential="shop"),
    ),
    (
        "a server by files",
        SIMPLE,
        ServerTls(("shop.example",), certificate="/c.pem", private_key="/k.pem"),
    ),
    (
        "a server that asks for client certificates",
        MUTUAL,
        ServerTls(
            ("shop.example",),
            "MUTUAL",
            certificate="/c.pem",
            private_key="/k.pem",
            ca_certificates="/ca.pem",
        ),
    ),
    (
        "a server whose credential has the CA",
        "mode: MUTUAL, credentialName: shop",
        ServerTls(("shop.example",), "MUTUAL", credential="shop"),
    ),
    (
        "TLS 1.3 alone",
        f"{SIMPLE}, minProtocolVersion: TLSV1_3, maxProtocolVersion: TLSV1_3",
        ServerTls(
            ("shop.example",),
            certificate="/c.pem",
            private_key="/k.pem",
            min_version="TLSV1_3",
            max_version="TLSV1_3",
        ),
    ),
    (
        "TLS_AUTO is as not written",
        f"{SIMPLE}, minProtocolVersion: TLS_AUTO, maxProtocolVersion: TLS_AUTO",
        ServerTls(("shop.example",), certificate="/c.pem", private_key="/k.pem"),
    ),
]
NAMES: list[tuple[str, Sequence[str], str, str]] = [
    (
        "the server of an exact host by its credential",
        [gateway(https("shop.example"), https("'*'", SIMPLE))],
        "shop.example",
        "shop",
    ),
    (
        "the server of every host for the others",
        [gateway(https("shop.example"), https("'*'", SIMPLE))],
        "other.example",
        "/c.pem",
    ),
    (
        "the longest wildcard before the shorter",
        [gateway(https("'*.example'", SIMPLE), https("'*.shop.example'"))],
        "www.shop.example",
        "shop",
    ),
    ("nobody for a host that no server names", [gateway(https("shop.example"))], "a.b", "none"),
    (
        "a host with a namespace, by the host alone",
        [gateway(https("./shop.example"))],
        "shop.example",
        "shop",
    ),
    (
        "the older of two Gateways for one host",
        [
            gateway(https("shop.example"), name="old"),
            gateway(https("shop.example", SIMPLE), name="new"),
        ],
        "shop.example",
        "shop",
    ),
    (
        "the newer of two Gateways for its other host",
        [
            gateway(https("shop.example"), name="old"),
            gateway(https("shop.example, b.example", SIMPLE), name="new"),
        ],
        "b.example",
        "/c.pem",
    ),
    (
        "the older also when the newer names a namespace",
        [
            gateway(https("shop.example"), name="old"),
            gateway(https("default/shop.example", SIMPLE), name="new"),
        ],
        "shop.example",
        "shop",
    ),
]
PLAIN: list[tuple[str, Sequence[str], str, str]] = [
    (
        "a server that redirects sends everything to https",
        [gateway(http("'*'", tls=REDIRECT)), SHOP],
        "shop.example",
        TO_HTTPS,
    ),
    (
        "it does so for hosts without routes",
        [gateway(http("'*'", tls=REDIRECT)), SHOP],
        "other.example",
        TO_HTTPS.replace("shop", "other"),
    ),
    (
        "it does so without any VirtualService",
        [gateway(http("shop.example", tls=REDIRECT))],
        "shop.example",
        TO_HTTPS,
    ),
    (
        "a host that it does not name is not redirected",
        [gateway(http("shop.example", tls=REDIRECT))],
        "other.example",
        "404 route_not_found",
    ),
    (
        "false redirects nothing",
        [gateway(http("'*'", tls="httpsRedirect: false")), SHOP],
        "shop.example",
        "reviews",
    ),
    (
        "a more specific server that does not redirect is served",
        [gateway(http("'*'", tls=REDIRECT), http("shop.example")), SHOP],
        "shop.example",
        "reviews",
    ),
    (
        "a more specific server that redirects is redirected",
        [gateway(http("'*'"), http("shop.example", tls=REDIRECT)), SHOP],
        "shop.example",
        TO_HTTPS,
    ),
    (
        "of two Gateways for a host the older decides to redirect",
        [
            gateway(http("shop.example", tls=REDIRECT), name="old"),
            gateway(http("shop.example"), name="new"),
            SHOP,
        ],
        "shop.example",
        TO_HTTPS,
    ),
    (
        "of two Gateways for a host the older decides not to",
        [
            gateway(http("shop.example"), name="old"),
            gateway(http("shop.example", tls=REDIRECT), name="new"),
            SHOP,
        ],
        "shop.example",
        "reviews",
    ),
]


@pytest.mark.parametrize(
    ("tls", "server"), [case[1:] for case in ENDS], ids=[case[0] for case in ENDS]
)
def test_how_tls_ends(tls: str, server: ServerTls) -> None:
    mesh = Mesh(gateway(https("shop.example", tls)), SHOP)
    assert (listener(mesh, 443).protocol, listener(mesh, 443).tls) == ("HTTPS", (server,))
    assert mesh.enter("GET https://shop.example/") == "reviews"


@pytest.mark.parametrize(
    ("texts", "sni", "certificate"), [case[1:] for case in NAMES], ids=[case[0] for case in NAMES]
)
def test_who_shows_a_certificate(texts: Sequence[str], sni: str, certificate: str) -> None:
    assert shown(Mesh(*texts), sni) == certificate


@pytest.mark.parametrize(
    ("texts", "host", "answer"), [case[1:] for case in PLAIN], ids=[case[0] for case in PLAIN]
)
def test_what_plain_http_is_told(texts: Sequence[str], host: str, answer: str) -> None:
    assert told(Mesh(*texts), host) == answer


def test_a_redirect_leaves_https_alone() -> None:
    mesh = Mesh(gateway(http("'*'", tls=REDIRECT), https("'*'")), SHOP)
    assert told(mesh, "shop.example") == TO_HTTPS
    assert mesh.enter("GET https://shop.example/") == "reviews"


def test_the_port_that_a_client_came_to_is_not_where_it_is_sent() -> None:
    mesh = Mesh(gateway(http("'*'", port=8080, tls=REDIRECT)))
    assert told(mesh, "shop.example", 8080) == TO_HTTPS


def test_a_port_of_both_protocols_is_the_older_gateways() -> None:
    plain = gateway(http("shop.example", port=443), name="old")
    secure = gateway(https("'*'"), https("'*'", port=8443), name="new")
    routes = SHOP.replace("web, ", "")
    mesh = Mesh(plain, secure, routes)
    assert [(x.port, x.protocol) for x in mesh.gateway().listeners] == [
        (443, "HTTP"),
        (8443, "HTTPS"),
    ]
    assert mesh.warnings() == ["conflict spec.servers[0].port.protocol"]
    assert mesh.enter("GET https://shop.example:8443/") == "reviews"
    mesh = Mesh(secure, plain, routes)
    assert listener(mesh, 443).protocol == "HTTPS"
    assert mesh.warnings() == ["conflict spec.servers[0].port.protocol"]


def test_what_a_newer_gateway_loses_it_does_not_route() -> None:
    old = gateway(https("shop.example"), name="old")
    new = gateway(https("shop.example", MUTUAL), name="new")
    mesh = Mesh(old, new, SHOP.replace("[web, old, new]", "[new]"))
    assert mesh.enter("GET https://shop.example/") == "404 route_not_found"
    assert mesh.warnings() == ["conflict spec.servers[0].hosts[0]"]


def test_of_two_sni_hosts_that_cover_one_another_both_are_there_the_exact_first() -> None:
    mesh = Mesh(gateway(https("'*.example'", SIMPLE), https("b.example, a.example")))
    assert [tls.hosts for tls in listener(mesh, 443).tls] == [
        ("a.example", "b.example"),
        ("*.example",),
    ]
