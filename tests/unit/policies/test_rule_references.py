"""What a DestinationRule refers to: hosts, ports, and TLS that its hosts can't have."""

import pytest

from tests.support.policy_mesh import BOOKINFO, Mesh, applied, service
from tulle.policies.problems import Problem

ENTRY = """\
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: outside}
spec:
  hosts: HOSTS
  resolution: STATIC
  ports: [{number: 443, name: https, protocol: HTTPS}]
  endpoints: [{address: 10.0.0.1}]
"""
EXACT = ENTRY.replace("HOSTS", "[api.example]")
WILDCARD = ENTRY.replace("HOSTS", '["*.api.example"]')


def rule(host: str, policy: str, name: str = "rule") -> str:
    return (
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\n"
        f"metadata: {{name: {name}}}\nspec:\n  host: '{host}'\n  trafficPolicy: {{{policy}}}\n"
    )


def problems(text: str, *before: str) -> list[Problem]:
    mesh = Mesh(*before, services=(*BOOKINFO, service("multi", 80, 81)))
    return list(applied(mesh.world, text, revision=9).problems)


def port(number: int, settings: str = "loadBalancer: {simple: RANDOM}") -> str:
    return f"portLevelSettings: [{{port: {{number: {number}}}, {settings}}}]"


def test_settings_of_a_port_that_is_not_there_are_a_warning() -> None:
    [found] = problems(rule("multi", port(82)))
    assert (found.code, found.severity) == ("missing-reference", "warning")
    assert found.path == "spec.trafficPolicy.portLevelSettings[0].port"
    assert "has no port 82 (yet); these settings are not used. Its ports: 80, 81" in found.message
    assert problems(rule("multi", port(81))) == []


def test_so_are_those_of_a_subset() -> None:
    text = rule("multi", "") + f"  subsets: [{{name: v1, trafficPolicy: {{{port(82)}}}}}]\n"
    [found] = problems(text)
    assert found.path == "spec.subsets[0].trafficPolicy.portLevelSettings[0].port"


def test_ports_of_what_is_not_known_are_not_looked_for() -> None:
    assert [p.path for p in problems(rule("nowhere", port(82)))] == ["spec.host"]
    assert problems(rule("*.default.svc.cluster.local", port(82))) == []


@pytest.mark.parametrize(
    ("text", "path"),
    [
        (rule("api.example", "tls: {mode: ISTIO_MUTUAL}"), "spec.trafficPolicy.tls"),
        (rule("*.example", "tls: {mode: ISTIO_MUTUAL}"), "spec.trafficPolicy.tls"),
        (rule("*", "tls: {mode: ISTIO_MUTUAL}"), "spec.trafficPolicy.tls"),
        (
            rule("api.example", port(443, "tls: {mode: ISTIO_MUTUAL}")),
            "spec.trafficPolicy.portLevelSettings[0].tls",
        ),
        (
            rule("api.example", "")
            + "  subsets: [{name: v1, trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}}]",
            "spec.subsets[0].trafficPolicy.tls",
        ),
    ],
)
def test_mtls_of_the_mesh_to_a_host_outside_is_an_error(text: str, path: str) -> None:
    [found] = problems(text, EXACT)
    assert (found.code, found.severity, found.path) == ("not-supported-yet", "error", path)
    assert "to the host of a ServiceEntry (api.example)" in found.message


@pytest.mark.parametrize("mode", ["SIMPLE", "DISABLE"])
def test_other_tls_to_it_is_none(mode: str) -> None:
    assert problems(rule("api.example", f"tls: {{mode: {mode}}}"), EXACT) == []


def test_a_wildcard_rule_that_another_replaces_there_is_none() -> None:
    own = rule("api.example", "tls: {mode: DISABLE}", name="own")
    assert problems(rule("*", "tls: {mode: ISTIO_MUTUAL}"), EXACT, own) == []


def test_tls_to_a_wildcard_needs_a_name_to_ask_for() -> None:
    [found] = problems(rule("*.api.example", "tls: {mode: SIMPLE}"), WILDCARD)
    assert (found.code, found.path) == ("not-supported-yet", "spec.trafficPolicy.tls")
    assert "TLS to the wildcard *.api.example without sni" in found.message
    assert problems(rule("*.api.example", "tls: {mode: SIMPLE, sni: a}"), WILDCARD) == []
    assert problems(rule("eu.api.example", "tls: {mode: SIMPLE}"), WILDCARD) == []


def test_a_route_to_a_port_of_tls_that_nobody_originates_is_a_warning() -> None:
    route = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: out}
spec:
  hosts: [reviews]
  http: [{route: [{destination: {host: api.example, port: {number: 443}}}]}]
"""
    [found] = problems(route, EXACT)
    assert (found.code, found.severity) == ("missing-reference", "warning")
    assert "expects TLS and no DestinationRule originates it" in found.message
    assert problems(route, EXACT, rule("api.example", "tls: {mode: SIMPLE}")) == []
