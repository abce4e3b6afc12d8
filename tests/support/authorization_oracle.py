"""AuthorizationPolicies read naively, condition by condition, and random ones to compare with.

An oracle for `policies.decide.authorize`: nothing is compiled, bound or put in order.
"""

import ipaddress
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from tulle.policies.config import (
    AuthorizationConfig,
    AuthorizationRule,
    Condition,
    InboundConfig,
    OperationMatch,
    SourceMatch,
)
from tulle.policies.decide.authorize import Caller

ROOT = "istio-system"
A = Caller("cluster.local/ns/default/sa/a", "default", "a", "10.0.0.1", 9080, "a.example")
B = Caller("cluster.local/ns/shop/sa/b", "shop", "b", "10.1.0.1", 81, "")
PLAIN = Caller("", "", "", "192.168.0.1", 9080, "")


@dataclass(frozen=True)
class Request:
    """`path` is plain: nothing to normalise but a query."""

    method: str
    path: str
    authority: str
    headers: tuple[tuple[str, str], ...] = ()

    def arguments(self) -> tuple[bytes, bytes, bytes, list[tuple[bytes, bytes]]]:
        """As a RequestAuthorizer takes them."""
        headers = [(name.encode(), value.encode()) for name, value in self.headers]
        return self.method.encode(), self.path.encode(), self.authority.encode(), headers


def allowed(
    configs: Sequence[InboundConfig], labels: Any, caller: Caller, request: Request
) -> bool:
    """Whether a workload of namespace `default` lets the request in."""
    policies = [
        policy
        for config in configs
        if config.namespace in (ROOT, "default")
        for policy in config.policies
        if all(pair in labels for pair in policy.selector)
    ]
    if any(_policy(p, caller, request) for p in policies if p.action == "DENY"):
        return False
    allow = [policy for policy in policies if policy.action == "ALLOW"]
    return not allow or any(_policy(policy, caller, request) for policy in allow)


def holds(rule: AuthorizationRule, caller: Caller, request: Request) -> bool:
    """Whether one rule holds."""
    return (
        (not rule.sources or any(_source(s, caller) for s in rule.sources))
        and (not rule.operations or any(_operation(o, caller, request) for o in rule.operations))
        and all(_condition(c, caller, request) for c in rule.conditions)
    )


def _policy(policy: AuthorizationConfig, caller: Caller, request: Request) -> bool:
    return any(holds(rule, caller, request) for rule in policy.rules)


def _source(source: SourceMatch, caller: Caller) -> bool:
    account = f"{caller.namespace}/{caller.account}"
    return (
        _said(source.principals, source.not_principals, _text(caller.principal))
        and _said(source.namespaces, source.not_namespaces, _text(caller.namespace))
        and _said(source.service_accounts, source.not_service_accounts, account.__eq__)
        and _said(source.ip_blocks, source.not_ip_blocks, _block(caller.address))
    )


def _operation(operation: OperationMatch, caller: Caller, request: Request) -> bool:
    host = request.authority.lower()
    name = host.rsplit(":", 1)[0]
    path = request.path.split("?")[0]
    return (
        _said(operation.ports, operation.not_ports, str(caller.port).__eq__)
        and _said(operation.methods, operation.not_methods, _text(request.method))
        and _said(operation.paths, operation.not_paths, _text(path))
        and _said(
            operation.hosts,
            operation.not_hosts,
            lambda value: _text(host)(value.lower()) or _text(name)(value.lower()),
        )
    )


def _condition(condition: Condition, caller: Caller, request: Request) -> bool:
    account = f"{caller.namespace}/{caller.account}"
    tests: dict[str, Callable[[str], bool]] = {
        "source.ip": _block(caller.address),
        "source.namespace": _text(caller.namespace),
        "source.principal": _text(caller.principal),
        "source.serviceAccount": account.__eq__,
        "destination.port": str(caller.port).__eq__,
        "connection.sni": _text(caller.sni),
    }
    values = [v for name, v in request.headers if f"request.headers[{name}]" == condition.key]
    return _said(
        condition.values,
        condition.not_values,
        tests.get(condition.key) or (_text(",".join(values)) if values else lambda _: False),
    )


def _said(values: Iterable[str], not_values: Iterable[str], fits: Callable[[str], bool]) -> bool:
    values = tuple(values)
    return (not values or any(map(fits, values))) and not any(map(fits, not_values))


def _text(given: str) -> Callable[[str], bool]:
    def fits(value: str) -> bool:
        if value == "*":
            return given != ""
        if value.startswith("*"):
            return given.endswith(value[1:])
        if value.endswith("*"):
            return given.startswith(value[:-1])
        return given == value

    return fits


def _block(given: str) -> Callable[[str], bool]:
    return lambda block: ipaddress.ip_address(given) in ipaddress.ip_network(block, strict=False)


# -- random ones ----------------------------------------------------------------------------------


def _some(*values: str) -> st.SearchStrategy[tuple[str, ...]]:
    return st.just(()) | st.lists(st.sampled_from(values), min_size=1, max_size=2).map(tuple)


_PRINCIPALS = _some(A.principal, B.principal, "*", "cluster.local/ns/default/*", "*/sa/b")
_NAMESPACES = _some("default", "shop", "*", "sh*")
_ACCOUNTS = _some("default/a", "shop/b", "default/b")
_BLOCKS = _some("10.0.0.1", "10.0.0.0/8", "192.168.0.0/16", "0.0.0.0/0", "::/0")
_HOSTS = _some("shop.example", "*.example", "SHOP.example:81", "shop.example:*", "*")
_METHODS = _some("GET", "P*", "*")
_PATHS = _some("/a", "/a*", "*/b", "*")
_PORTS = _some("81", "9080")
_KEYS = {
    "source.ip": _BLOCKS,
    "source.namespace": _NAMESPACES,
    "source.principal": _PRINCIPALS,
    "source.serviceAccount": _ACCOUNTS,
    "destination.port": _PORTS,
    "connection.sni": _some("a.example", "*"),
    "request.headers[x]": _some("1", "1*", "*2", "*", "1,2"),
}
_sources = st.builds(
    SourceMatch,
    *(_PRINCIPALS, _PRINCIPALS, _NAMESPACES, _NAMESPACES),
    *(_ACCOUNTS, _ACCOUNTS, _BLOCKS, _BLOCKS),
)
_operations = st.builds(
    OperationMatch,
    *(_HOSTS, _HOSTS, _PORTS, _PORTS, _METHODS, _METHODS, _PATHS, _PATHS),
)
_conditions = st.sampled_from(sorted(_KEYS)).flatmap(
    lambda key: st.builds(Condition, st.just(key), _KEYS[key], _KEYS[key])
)


def _few(strategy: st.SearchStrategy[Any], most: int) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(strategy, max_size=most).map(tuple)


def _named(rules: Sequence[AuthorizationRule]) -> tuple[AuthorizationRule, ...]:
    return tuple(
        AuthorizationRule(f"rules[{at}]", rule.sources, rule.operations, rule.conditions)
        for at, rule in enumerate(rules)
    )


_rules = st.builds(
    AuthorizationRule, st.just(""), _few(_sources, 2), _few(_operations, 2), _few(_conditions, 2)
)
_policies = st.builds(
    AuthorizationConfig,
    st.sampled_from(["AuthorizationPolicy/default/x", "AuthorizationPolicy/default/y"]),
    st.sampled_from([(), (("app", "a"),), (("app", "b"),)]),
    st.sampled_from(["ALLOW", "DENY"]),
    st.lists(_rules, max_size=3).map(_named),
)
configs = st.lists(
    st.builds(
        InboundConfig,
        st.sampled_from([ROOT, "default", "shop"]),
        st.just(()),
        _few(_policies, 3),
    ),
    max_size=3,
    unique_by=lambda config: config.namespace,
)
callers = st.sampled_from([A, B, PLAIN])
requests = st.builds(
    Request,
    st.sampled_from(["GET", "POST", "PUT"]),
    st.sampled_from(["/", "/a", "/a/b", "/a?x=/b", "/c/b"]),
    st.sampled_from(["shop.example", "Shop.Example:81", "a.shop.example:9080", "other"]),
    st.sampled_from([(), (("x", "1"),), (("x", "1"), ("y", "3"), ("x", "2")), (("y", "1"),)]),
)
