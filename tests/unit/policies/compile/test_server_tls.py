"""How an HTTPS listener ends TLS, by the servers of its Gateways."""

import pytest

from tests.support.policy_mesh import Mesh
from tulle.policies.compile.server_tls import server_tls
from tulle.policies.config import ServerTls
from tulle.policies.resolve import Index, spec
from tulle.policies.resources.networking.gateway import Gateway
from tulle.policies.servers import open_servers
from tulle.policies.world import INGRESS

GATEWAY = """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: web}
spec:
  servers:
  - port: {number: 443, name: one, protocol: PROTOCOL}
    hosts: ["*.example", ./a.example, "n/a.example"]
    tls: {TLS}
"""


def compiled(tls: str, protocol: str = "HTTPS") -> tuple[ServerTls, ...]:
    text = GATEWAY.replace("PROTOCOL", protocol).replace("TLS}", f"{tls}}}")
    gateways = Index(Mesh(text).world).gateways_for(INGRESS)
    return server_tls(open_servers((g, spec(g, Gateway)) for g in gateways))


def test_hosts_are_without_namespaces_each_once_the_exact_first() -> None:
    [tls] = compiled("mode: SIMPLE, credentialName: shop")
    assert tls == ServerTls(("a.example", "*.example"), credential="shop")


def test_every_field_is_there() -> None:
    [tls] = compiled(
        "mode: MUTUAL, serverCertificate: /c, privateKey: /k, caCertificates: /r, "
        "minProtocolVersion: TLSV1_2, maxProtocolVersion: TLSV1_3"
    )
    assert tls == ServerTls(
        ("a.example", "*.example"), "MUTUAL", "/c", "/k", "/r", "", "TLSV1_2", "TLSV1_3"
    )


@pytest.mark.parametrize("version", ["TLS_AUTO", "TLSV1_2", "TLSV1_3"])
def test_automatic_versions_are_empty(version: str) -> None:
    [tls] = compiled(f"mode: SIMPLE, credentialName: shop, minProtocolVersion: {version}")
    assert tls.min_version == version.replace("TLS_AUTO", "")


def test_http_ends_no_tls() -> None:
    assert compiled("httpsRedirect: true", "HTTP") == ()
