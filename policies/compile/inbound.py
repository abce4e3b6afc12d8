"""inbound/<namespace>: what servers of a namespace ask of their peers, the older policies first.

Counterparts: `decide/peers.py` and `decide/authorize.py`, which a proxy asks with its labels.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from tulle.policies.compile.peer_modes import compile_peer, selected
from tulle.policies.config import (
    AuthorizationConfig,
    AuthorizationRule,
    Condition,
    InboundConfig,
    OperationMatch,
    SourceMatch,
)
from tulle.policies.resolve import Index, key_text, spec
from tulle.policies.resources.security.authorization_policy import (
    AuthorizationPolicy,
    Operation,
    Rule,
    Source,
    When,
)
from tulle.policies.world import Policy


@dataclass(frozen=True, slots=True)
class InboundInputs:
    """All that the config of a namespace is compiled from: equal inputs, equal config."""

    namespace: str
    peers: tuple[Policy, ...] = ()
    authorizations: tuple[Policy, ...] = ()


def inbound_inputs(index: Index, namespace: str) -> InboundInputs:
    """What decides about the servers of a namespace."""
    return InboundInputs(
        namespace,
        index.peer_authentications(namespace),
        index.authorization_policies(namespace),
    )


def compile_inbound(inputs: InboundInputs) -> InboundConfig:
    """The config of one namespace."""
    return InboundConfig(
        inputs.namespace,
        tuple(compile_peer(policy) for policy in inputs.peers),
        tuple(_authorization(policy) for policy in inputs.authorizations),
    )


def _authorization(policy: Policy) -> AuthorizationConfig:
    written = spec(policy, AuthorizationPolicy)
    namespace = policy.document.namespace
    rules = (_rule(at, rule, namespace) for at, rule in enumerate(written.rules))
    return AuthorizationConfig(
        key_text(policy.key),
        selected(written.selector),
        "DENY" if written.action == "DENY" else "ALLOW",
        tuple(rules),
    )


def _rule(at: int, rule: Rule, namespace: str) -> AuthorizationRule:
    return AuthorizationRule(
        f"rules[{at}]",
        tuple(_source(f.source, namespace) for f in rule.from_ or () if f.source is not None),
        tuple(_operation(to.operation) for to in rule.to or () if to.operation is not None),
        tuple(_condition(when, namespace) for when in rule.when),
    )


def _source(source: Source, namespace: str) -> SourceMatch:
    return SourceMatch(
        source.principals,
        source.not_principals,
        source.namespaces,
        source.not_namespaces,
        _accounts(source.service_accounts, namespace),
        _accounts(source.not_service_accounts, namespace),
        source.ip_blocks,
        source.not_ip_blocks,
    )


def _operation(to: Operation) -> OperationMatch:
    return OperationMatch(
        to.hosts,
        to.not_hosts,
        to.ports,
        to.not_ports,
        to.methods,
        to.not_methods,
        to.paths,
        to.not_paths,
    )


def _condition(when: When, namespace: str) -> Condition:
    if when.key != "source.serviceAccount":
        return Condition(when.key, when.values, when.not_values)
    accounts = _accounts(when.values, namespace), _accounts(when.not_values, namespace)
    return Condition(when.key, *accounts)


def _accounts(written: Iterable[str], namespace: str) -> tuple[str, ...]:
    """`name` is of the policy's own namespace."""
    return tuple(name if "/" in name else f"{namespace}/{name}" for name in written)
