"""inbound/<namespace>: what servers ask of their peers."""

from tests.support.policy_mesh import Mesh, service
from tulle.policies.compile.inbound import compile_inbound, inbound_inputs
from tulle.policies.config import (
    AuthorizationConfig,
    AuthorizationRule,
    Condition,
    InboundConfig,
    OperationMatch,
    PeerAuthenticationConfig,
    SourceMatch,
)
from tulle.policies.resolve import Index

POLICY = """\
apiVersion: security.istio.io/v1
kind: {kind}
metadata: {{name: {name}, namespace: {namespace}}}
spec: {spec}
"""


def policy(kind: str, name: str, spec: str, namespace: str = "default") -> str:
    return POLICY.format(kind=kind, name=name, namespace=namespace, spec=spec)


def inbound(*texts: str, namespace: str = "default") -> InboundConfig:
    return compile_inbound(inbound_inputs(Index(Mesh(*texts).world), namespace))


def test_a_namespace_without_policies_asks_nothing() -> None:
    assert inbound() == InboundConfig("default")
    assert inbound(policy("PeerAuthentication", "a", "{}", "shop")) == InboundConfig("default")


def test_the_older_policies_come_first_whatever_their_names() -> None:
    kinds = ("PeerAuthentication", "AuthorizationPolicy")
    config = inbound(*(policy(kind, name, "{}") for name in "ba" for kind in kinds))
    assert [p.source for p in config.peers] == [
        "PeerAuthentication/default/b",
        "PeerAuthentication/default/a",
    ]
    assert [p.source for p in config.policies] == [
        "AuthorizationPolicy/default/b",
        "AuthorizationPolicy/default/a",
    ]


def test_a_peer_authentication() -> None:
    spec = (
        "{selector: {matchLabels: {b: c, a: b}}, mtls: {mode: UNSET}, "
        "portLevelMtls: {9080: {mode: DISABLE}, 81: {}}}"
    )
    assert inbound(policy("PeerAuthentication", "p", spec)).peers == (
        PeerAuthenticationConfig(
            "PeerAuthentication/default/p",
            (("a", "b"), ("b", "c")),
            "",
            ((81, ""), (9080, "DISABLE")),
        ),
    )


def test_an_authorization_policy() -> None:
    spec = """
  selector: {matchLabels: {app: a}}
  action: DENY
  rules:
  - {}
  - from:
    - source: {principals: [a], notPrincipals: [b], namespaces: [c], notNamespaces: [d]}
    - source: {serviceAccounts: [a, b/c], notServiceAccounts: [d]}
    - source: {ipBlocks: ['::1'], notIpBlocks: [10.0.0.0/8]}
    to:
    - operation: {hosts: [a], notHosts: [b], ports: ['1'], notPorts: ['2']}
    - operation: {methods: [a], notMethods: [b], paths: [c], notPaths: [d]}
    when:
    - {key: source.serviceAccount, values: [a], notValues: [b/c]}
    - {key: 'request.headers[X]', values: [a]}
"""
    assert inbound(policy("AuthorizationPolicy", "p", spec)).policies == (
        AuthorizationConfig(
            "AuthorizationPolicy/default/p",
            (("app", "a"),),
            "DENY",
            (
                AuthorizationRule("rules[0]"),
                AuthorizationRule(
                    "rules[1]",
                    (
                        SourceMatch(("a",), ("b",), ("c",), ("d",)),
                        SourceMatch(
                            service_accounts=("default/a", "b/c"),
                            not_service_accounts=("default/d",),
                        ),
                        SourceMatch(ip_blocks=("::1",), not_ip_blocks=("10.0.0.0/8",)),
                    ),
                    (
                        OperationMatch(("a",), ("b",), ("1",), ("2",)),
                        OperationMatch(
                            methods=("a",), not_methods=("b",), paths=("c",), not_paths=("d",)
                        ),
                    ),
                    (
                        Condition("source.serviceAccount", ("default/a",), ("b/c",)),
                        Condition("request.headers[X]", ("a",)),
                    ),
                ),
            ),
        ),
    )


def test_allow_is_the_action_when_none_is_given() -> None:
    for spec in ("{}", "{action: ALLOW}"):
        [found] = inbound(policy("AuthorizationPolicy", "p", spec)).policies
        assert (found.action, found.rules, found.selector) == ("ALLOW", (), ())


def test_every_namespace_that_could_ask_has_a_config() -> None:
    world = Mesh(
        policy("PeerAuthentication", "p", "{}", "far"),
        policy("AuthorizationPolicy", "p", "{}", "away"),
        services=[service("a"), service("b", namespace="shop")],
    ).world
    assert Index(world).inbound_namespaces == ["away", "default", "far", "istio-system", "shop"]
