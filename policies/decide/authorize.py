"""Who may send what to a workload: its AuthorizationPolicies, specialised per connection.

As in Istio: a DENY policy that holds denies. Then, when ALLOW policies select the workload, one of
them must hold. Those of the root namespace count for all namespaces. Counterparts: the inbound edge
and the gateway edge, which bind a caller once and ask for each request only what is left open.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tulle.policies.config import (
    AuthorizationConfig,
    AuthorizationRule,
    InboundConfig,
    Labels,
)
from tulle.policies.decide.match import Headers, RequestTest
from tulle.policies.decide.paths import normalised
from tulle.policies.decide.rules import Caller, Rule, compile_rule
from tulle.policies.decide.sentences import denied_by, not_allowed

REMEMBERED = 16
REMEMBERED_BYTES = 512
"""Requests whose decision a connection remembers, and how long they may be."""

__all__ = ["Authorizer", "Caller", "Denial", "RequestAuthorizer", "compile_authorizer"]


@dataclass(frozen=True, slots=True)
class Denial:
    """Why a request is denied: reason `rbac_denied`.

    `policy` is `AuthorizationPolicy/<namespace>/<name>` and `rule` like `rules[0]` of a DENY policy
    that holds; both are empty when no ALLOW policy does. `detail` is a sentence.
    """

    policy: str
    rule: str
    detail: str


RequestAuthorizer = Callable[[bytes, bytes, bytes, Headers], Denial | None]
"""Arguments: method, path (the query may follow), authority, headers. None: allowed."""


@dataclass(frozen=True, slots=True)
class Authorizer:
    """The policies that select one workload, DENY rules apart. Made by `compile_authorizer`."""

    deny: tuple[tuple[str, AuthorizationRule, Rule], ...]
    allow: tuple[AuthorizationConfig, ...]
    allow_rules: tuple[Rule, ...]

    def bind(self, caller: Caller) -> RequestAuthorizer | None:
        """What is left to ask the requests of a connection; None: every one is allowed.

        ValueError: a policy asks for the caller's address, and it is no IP address.
        """
        denies: list[tuple[RequestTest, Denial]] = []
        asked: list[Rule] = []
        for source, written, rule in self.deny:
            test = rule.bind(caller)
            if test is False:
                continue
            denial = Denial(source, rule.name, denied_by(caller, source, written))
            if test is True:
                return _decision(denies, [], denial, asked)
            denies.append((test, denial))
            asked.append(rule)
        return self._allowed(caller, denies, asked)

    def for_tcp(self, caller: Caller) -> Denial | None:
        """Whether a TCP connection is denied, where there are no requests. None: it is allowed.

        As in Istio an ALLOW rule that asks anything of requests never holds, and of a DENY rule
        that is left out: the rest alone decides. ValueError: as `bind`.
        """
        for source, written, rule in self.deny:
            if rule.takes(caller):
                return Denial(source, rule.name, denied_by(caller, source, written))
        if not self.allow:
            return None
        if any(not rule.asks_requests and rule.takes(caller) for rule in self.allow_rules):
            return None
        return Denial("", "", not_allowed(caller, self.allow))

    def _allowed(
        self, caller: Caller, denies: list[tuple[RequestTest, Denial]], asked: list[Rule]
    ) -> RequestAuthorizer | None:
        allows: list[RequestTest] = []
        for rule in self.allow_rules:
            test = rule.bind(caller)
            if test is True:
                return _decision(denies, [], None, asked)
            if test is not False:
                allows.append(test)
                asked.append(rule)
        otherwise = Denial("", "", not_allowed(caller, self.allow)) if self.allow else None
        return _decision(denies, allows, otherwise, asked)


def compile_authorizer(
    configs: Sequence[InboundConfig], root_namespace: str, namespace: str, labels: Labels
) -> Authorizer | None:
    """The policies for a workload of `namespace` with `labels`; None when none selects it.

    `configs` hold at least those of the namespace and of the root namespace, if there are any.
    """
    policies = [
        policy
        for owner in dict.fromkeys((root_namespace, namespace))
        for config in configs
        if config.namespace == owner
        for policy in config.policies
        if set(policy.selector) <= set(labels)
    ]
    denying = [policy for policy in policies if policy.action == "DENY"]
    allow = tuple(policy for policy in policies if policy.action == "ALLOW")
    deny = tuple((p.source, rule, compile_rule(rule)) for p in denying for rule in p.rules)
    if not deny and not allow:
        return None
    rules = tuple(compile_rule(rule) for policy in allow for rule in policy.rules)
    return Authorizer(deny, allow, rules)


def _decision(
    denies: list[tuple[RequestTest, Denial]],
    allows: list[RequestTest],
    otherwise: Denial | None,
    asked: Sequence[Rule],
) -> RequestAuthorizer | None:
    """The first of `denies` that holds; else None when one of `allows` does; else `otherwise`.

    `asked`: the rules whose tests these are.
    """
    if not denies and otherwise is None:
        return None
    decide = _closure(denies, allows, otherwise)
    if any(rule.reads_path for rule in asked):
        decide = _normalising(decide)
    return decide if any(rule.reads_headers for rule in asked) else _remembering(decide)


def _normalising(decide: RequestAuthorizer) -> RequestAuthorizer:
    return lambda method, path, authority, headers: decide(
        method, normalised(path), authority, headers
    )


def _remembering(decide: RequestAuthorizer) -> RequestAuthorizer:
    """The same, which decides once about what a connection asks again: most ask the same few."""
    known: dict[tuple[bytes, bytes, bytes], Denial | None] = {}

    def ask(method: bytes, path: bytes, authority: bytes, headers: Headers) -> Denial | None:
        key = (method, path, authority)
        try:
            return known[key]
        except KeyError:
            denial = decide(method, path, authority, headers)
            if len(known) >= REMEMBERED:
                known.clear()
            if len(path) + len(authority) <= REMEMBERED_BYTES:
                known[key] = denial
            return denial

    return ask


def _closure(
    denies: list[tuple[RequestTest, Denial]], allows: list[RequestTest], otherwise: Denial | None
) -> RequestAuthorizer:
    if not denies and not allows:
        return lambda m, p, a, h: otherwise
    if not denies and len(allows) == 1:
        allow = allows[0]
        return lambda m, p, a, h: None if allow(m, p, a, h) else otherwise
    if len(denies) == 1 and otherwise is None:
        deny, denial = denies[0]
        return lambda m, p, a, h: denial if deny(m, p, a, h) else None

    def decide(method: bytes, path: bytes, authority: bytes, headers: Headers) -> Denial | None:
        for test, reason in denies:
            if test(method, path, authority, headers):
                return reason
        for test in allows:
            if test(method, path, authority, headers):
                return None
        return otherwise

    return decide
