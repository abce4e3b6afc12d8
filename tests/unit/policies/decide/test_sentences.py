"""What a denied caller reads."""

from tulle.policies.config import (
    AuthorizationConfig,
    AuthorizationRule,
    Condition,
    OperationMatch,
    SourceMatch,
)
from tulle.policies.decide.rules import Caller
from tulle.policies.decide.sentences import denied_by, not_allowed

RATINGS = Caller("cluster.local/ns/default/sa/ratings", "default", "ratings", "10.0.0.3")
PLAIN = Caller(address="10.0.0.3")
RULE = AuthorizationRule(
    "rules[0]",
    (SourceMatch(principals=("a", "b"), not_namespaces=("c",)), SourceMatch(ip_blocks=("::1",))),
    (OperationMatch(methods=("GET",)),),
    (Condition("connection.sni", ("x",), ("y",)), Condition("destination.port", ("80",))),
)


def test_what_denies() -> None:
    assert denied_by(RATINGS, "AuthorizationPolicy/default/x", RULE) == (
        "spiffe://cluster.local/ns/default/sa/ratings is denied by AuthorizationPolicy/default/x, "
        "rules[0]: from principals a, b and notNamespaces c or ipBlocks ::1; to methods GET; "
        "when connection.sni is x and connection.sni is not y; when destination.port is 80"
    )


def test_what_would_be_allowed() -> None:
    policies = [
        AuthorizationConfig(
            "AuthorizationPolicy/default/x", (), "ALLOW", (AuthorizationRule("rules[0]"), RULE)
        ),
        AuthorizationConfig("AuthorizationPolicy/default/y", (), "ALLOW"),
    ]
    text = not_allowed(PLAIN, policies)
    assert text.startswith(
        "A caller without mTLS (10.0.0.3) is not allowed. AuthorizationPolicy/default/x allows "
        "(every request) or (from principals a, b and"
    )
    assert text.endswith("; AuthorizationPolicy/default/y allows nothing")


def test_it_is_never_long() -> None:
    rule = AuthorizationRule("rules[0]", (SourceMatch(principals=("a" * 99,) * 99),))
    policy = AuthorizationConfig("x", (), "ALLOW", (rule,) * 99)
    assert len(not_allowed(RATINGS, [policy])) == len(denied_by(RATINGS, "x", rule)) == 600
