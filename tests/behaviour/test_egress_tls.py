"""TLS that proxies originate towards hosts outside, and how such hosts are found."""

from dataclasses import replace

import pytest

from tests.support.policy_mesh import BOOKINFO, Mesh, applied, service
from tulle.policies.config import Cluster, StaticEndpoint, UpstreamTls
from tulle.policies.world import World

ENTRY = """\
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: bank}
spec:
  hosts: [bank.example]
  resolution: DNS
  ports:
  - {number: 80, name: http, protocol: HTTP}
  - {number: 443, name: https, protocol: HTTPS}
"""
ROUTE = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: bank}
spec:
  hosts: [bank.example]
  http:
  - match: [{port: 80}]
    route: [{destination: {host: bank.example, port: {number: 443}}}]
"""
RULE = """\
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: bank}
spec:
  host: bank.example
  trafficPolicy:
    portLevelSettings:
    - port: {number: 443}
      tls: {mode: SIMPLE}
"""
TARGET = """\
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: bank}
spec:
  hosts: [bank.example]
  resolution: DNS
  ports: [{number: 80, name: http, protocol: HTTP, targetPort: 443}]
"""


def cluster(request: str, *texts: str) -> Cluster:
    choice = Mesh(*texts).choice(request)
    assert choice is not None and choice.cluster is not None
    return choice.cluster


def tls(written: str, *, host: str = "bank.example") -> str:
    """A rule whose whole host is spoken to as written."""
    head = RULE[: RULE.index("  trafficPolicy")].replace("bank.example", host)
    return f"{head}  trafficPolicy: {{tls: {{{written}}}}}\n"


CASES: list[tuple[str, str, list[str], tuple[str, int, str]]] = [
    (
        "port 443 is TLS by port-level settings",
        "GET http://bank.example:443/",
        [ENTRY, RULE],
        ("SIMPLE", 443, "http"),
    ),
    (
        "port 80 is not",
        "GET http://bank.example/",
        [ENTRY, RULE],
        ("DISABLE", 80, "http"),
    ),
    (
        "a route sends what came to port 80 to port 443, as TLS",
        "GET http://bank.example/",
        [ENTRY, RULE, ROUTE],
        ("SIMPLE", 443, "http"),
    ),
    (
        "without a rule port 443 takes no HTTP",
        "GET http://bank.example/",
        [ENTRY, ROUTE],
        ("DISABLE", 443, "https"),
    ),
    (
        "a rule that says DISABLE does not open port 443 to HTTP",
        "GET http://bank.example/",
        [ENTRY, ROUTE, tls("mode: DISABLE")],
        ("DISABLE", 443, "https"),
    ),
    (
        "a port of protocol TLS is as one of HTTPS",
        "GET http://bank.example/",
        [ENTRY.replace("HTTPS}", "TLS}"), ROUTE],
        ("DISABLE", 443, "tls"),
    ),
    (
        "TLS is originated to a port of protocol TLS",
        "GET http://bank.example/",
        [ENTRY.replace("HTTPS}", "TLS}"), ROUTE, RULE],
        ("SIMPLE", 443, "http"),
    ),
    (
        "a host's TLS is for port 80 as well",
        "GET http://bank.example/",
        [ENTRY, tls("mode: SIMPLE")],
        ("SIMPLE", 80, "http"),
    ),
]


@pytest.mark.parametrize(
    ("request_", "texts", "expected"),
    [case[1:] for case in CASES],
    ids=[case[0] for case in CASES],
)
def test_ports_and_tls(request_: str, texts: list[str], expected: tuple[str, int, str]) -> None:
    seen = cluster(request_, *texts)
    assert (seen.tls, seen.port, seen.protocol) == expected


@pytest.mark.parametrize(
    ("written", "upstream"),
    [
        pytest.param(
            "mode: SIMPLE",
            UpstreamTls("SIMPLE"),
            id="SIMPLE asks for the host by its name and trusts the system's roots",
        ),
        pytest.param(
            "mode: SIMPLE, sni: api.bank.example, subjectAltNames: [b, a, b]",
            UpstreamTls("SIMPLE", sni="api.bank.example", subject_alt_names=("a", "b")),
            id="SIMPLE by another name, for one of two names",
        ),
        pytest.param(
            "mode: SIMPLE, caCertificates: /etc/ca.pem",
            UpstreamTls("SIMPLE", ca_certificates="/etc/ca.pem"),
            id="SIMPLE with roots of its own",
        ),
        pytest.param(
            "mode: SIMPLE, insecureSkipVerify: true",
            UpstreamTls("SIMPLE", insecure_skip_verify=True),
            id="SIMPLE without a check, when asked for",
        ),
        pytest.param(
            "mode: MUTUAL, clientCertificate: /c.pem, privateKey: /k.pem, caCertificates: /r.pem",
            UpstreamTls(
                "MUTUAL",
                client_certificate="/c.pem",
                private_key="/k.pem",
                ca_certificates="/r.pem",
            ),
            id="MUTUAL shows a certificate out of files",
        ),
        pytest.param(
            "mode: MUTUAL, credentialName: bank",
            UpstreamTls("MUTUAL", credential="bank"),
            id="MUTUAL shows the certificate of a credential",
        ),
    ],
)
def test_what_a_proxy_shows_and_checks(written: str, upstream: UpstreamTls) -> None:
    seen = cluster("GET http://bank.example/", ENTRY, tls(written))
    assert seen.upstream_tls == upstream


@pytest.mark.parametrize("mode", ["SIMPLE", "MUTUAL, credentialName: x"])
def test_tls_may_be_originated_to_workloads_of_the_mesh(mode: str) -> None:
    seen = cluster("GET http://reviews:9080/", tls(f"mode: {mode}", host="reviews"))
    assert seen.service == "default/reviews"
    assert seen.upstream_tls is not None and seen.upstream_tls.mode == mode.partition(",")[0]


def test_target_port_is_where_the_endpoint_listens() -> None:
    rule = RULE.replace("443", "80")
    seen = cluster("GET http://bank.example/", TARGET, rule)
    assert (seen.port, seen.tls) == (80, "SIMPLE")
    assert seen.endpoints == (StaticEndpoint("bank.example", 443),)


def test_an_endpoints_own_port_counts_before_the_target_port() -> None:
    text = TARGET + "  endpoints: [{address: a.example, ports: {http: 8443}}, {address: b.example}]"
    seen = cluster("GET http://bank.example/", text)
    assert seen.endpoints == (StaticEndpoint("a.example", 8443), StaticEndpoint("b.example", 443))


def test_by_dns_a_host_without_endpoints_is_its_own() -> None:
    text = ENTRY.replace("[bank.example]", "[bank.example, www.bank.example]")
    for host in ("bank.example", "www.bank.example"):
        seen = cluster(f"GET http://{host}/", text)
        assert (seen.dns, seen.endpoints) == (True, (StaticEndpoint(host, 80),))


def test_by_dns_endpoints_may_be_names_and_have_labels() -> None:
    text = (
        ENTRY + "  endpoints: [{address: eu.bank.net, labels: {region: eu}}, {address: us.net}]\n"
    )
    rule = RULE.replace(
        "  trafficPolicy", "  subsets: [{name: eu, labels: {region: eu}}]\n  trafficPolicy"
    )
    route = ROUTE.replace(
        "host: bank.example, port: {number: 443}", "host: bank.example, subset: eu"
    )
    seen = cluster("GET http://bank.example/", text, rule, route)
    assert (seen.dns, [e.address for e in seen.endpoints]) == (True, ["eu.bank.net"])


def test_static_addresses_are_not_resolved() -> None:
    text = ENTRY.replace("DNS", "STATIC") + "  endpoints: [{address: 10.0.0.1}]"
    assert cluster("GET http://bank.example/", text).dns is False


def test_a_wildcard_has_endpoints_and_a_name_to_ask_for() -> None:
    wildcard = ENTRY.replace("bank.example", '"*.bank.example"')
    text = f"{wildcard}  endpoints: [{{address: bank.net}}]\n"
    rule = tls("mode: SIMPLE, sni: www.bank.example", host="'*.bank.example'")
    seen = Mesh(text, rule).outbound("*.bank.example").clusters[1]
    assert seen.endpoints == (StaticEndpoint("bank.net", 80),)
    assert seen.upstream_tls == UpstreamTls("SIMPLE", sni="www.bank.example")


def test_services_of_the_mesh_may_be_routed_out() -> None:
    route = ROUTE.replace("[bank.example]", "[ratings]").replace("port: 80", "port: 9080")
    seen = cluster("GET http://ratings:9080/", ENTRY, RULE, route)
    assert (seen.host, seen.tls) == ("bank.example", "SIMPLE")


def test_a_rule_that_comes_later_changes_only_what_refers_to_its_host() -> None:
    world = World.of((), (*BOOKINFO, service("other")))
    before = Mesh(ENTRY, ROUTE, services=world.services)
    after = applied(before.world, RULE, 3)
    seen = Mesh(ENTRY, ROUTE, RULE, services=world.services)
    assert after.ok
    changed = [key for key, value in seen.configs.items() if before.configs[key] != value]
    assert changed == [("outbound", "bank.example")]
    plain = {c.name: c for c in before.outbound("bank.example").clusters}
    for originated in seen.outbound("bank.example").clusters:
        if originated.port == 443:
            was = replace(plain[originated.name], tls="SIMPLE", tls_written=True, protocol="http")
            assert originated == replace(was, upstream_tls=UpstreamTls("SIMPLE"))
