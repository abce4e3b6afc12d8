"""What is wrong with a PeerAuthentication or an AuthorizationPolicy by itself, or beside others.

Part of `contradictions.py` and `validate.py`, for the kinds of security.istio.io.
"""

import ipaddress
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from tulle.policies.parse import Document
from tulle.policies.problems import Path, Problem
from tulle.policies.resolve import Index, spec
from tulle.policies.resources.meta import is_dns_label
from tulle.policies.resources.security.authorization_policy import (
    AuthorizationPolicy,
    Operation,
    Rule,
    Source,
    When,
)
from tulle.policies.resources.security.common import TargetRef, WorkloadSelector
from tulle.policies.resources.security.peer_authentication import PeerAuthentication
from tulle.policies.world import Policy

ValueCheck = Callable[[str], str]
"""What is wrong with a value, empty when it is right."""

_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,256}")
_PORT = re.compile(r"0|[1-9][0-9]{0,4}")
_BITS = re.compile(r"[0-9]{1,3}")
_GROUP = re.compile(r"(?:[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*)?")
_TARGET_KIND = re.compile(r"[a-zA-Z](?:[-a-zA-Z0-9]*[a-zA-Z0-9])?")


def peer_contradictions(document: Document, policy: PeerAuthentication) -> Iterator[Problem]:
    """Everything that a PeerAuthentication says and can't mean."""
    yield from _selector(document, policy.selector)
    if policy.port_level_mtls is None:
        return
    path: Path = ("spec", "portLevelMtls")
    if policy.selector is None or not policy.selector.match_labels:
        message = "portLevelMtls needs a selector with matchLabels"
        yield document.problem("contradiction", path, message)
    for port in policy.port_level_mtls:
        if wrong := _port(port, least=1):
            yield document.problem("schema", (*path, port), wrong)


def authorization_contradictions(
    document: Document, policy: AuthorizationPolicy
) -> Iterator[Problem]:
    """Everything that an AuthorizationPolicy says and can't mean."""
    yield from _selector(document, policy.selector)
    if policy.target_ref is not None:
        yield from _target(document, ("spec", "targetRef"), policy.target_ref)
    for position, target in enumerate(policy.target_refs or ()):
        yield from _target(document, ("spec", "targetRefs", position), target)
    if policy.provider is not None and policy.action != "CUSTOM":
        message = "provider is for action CUSTOM alone"
        yield document.problem("contradiction", ("spec", "provider"), message)
    if policy.action == "DENY" and not policy.rules:
        message = "a DENY policy without rules never matches; rules: [{}] denies every request"
        yield document.problem("contradiction", ("spec",), message, "warning")
    for position, rule in enumerate(policy.rules):
        yield from _rule(document, ("spec", "rules", position), rule)


def older_peers(index: Index, policy: Policy) -> Iterator[Problem]:
    """The older PeerAuthentication that already decides for the same workloads."""
    document = policy.document
    wanted = _labels(policy)
    for older in index.peer_authentications(document.namespace):
        if older.key == policy.key:
            return
        if _labels(older) == wanted:
            where = "for these labels" if wanted else f"for all of {document.namespace}"
            if not wanted and document.namespace == index.world.settings.root_namespace:
                where = "for the whole mesh"
            message = f"the older {older.key} already decides {where}; this one is not used"
            path: Path = ("spec", "selector") if wanted else ("spec",)
            yield document.problem("conflict", path, message, "warning")
            return


def _labels(policy: Policy) -> Mapping[str, str]:
    selector = spec(policy, PeerAuthentication).selector
    return selector.match_labels if selector is not None else {}


# -- what a policy is for -------------------------------------------------------------------------


def _selector(document: Document, selector: WorkloadSelector | None) -> Iterator[Problem]:
    path: Path = ("spec", "selector", "matchLabels")
    for name, value in (selector.match_labels if selector is not None else {}).items():
        if not name:
            yield document.problem("schema", path, "the name of a label must not be empty")
        if "*" in name or "*" in value:
            message = "labels are compared as they are; there is no wildcard *"
            yield document.problem("schema", (*path, name), message)


def _target(document: Document, path: Path, target: TargetRef) -> Iterator[Problem]:
    if target.namespace:
        message = "must not be given: a policy can be attached in its own namespace only"
        yield document.problem("contradiction", (*path, "namespace"), message)
    if not _GROUP.fullmatch(target.group or ""):
        yield document.problem("schema", (*path, "group"), "must be an API group, or empty")
    if not _TARGET_KIND.fullmatch(target.kind):
        yield document.problem("schema", (*path, "kind"), "must be letters, digits and -")


# -- rules ----------------------------------------------------------------------------------------


def _rule(document: Document, path: Path, rule: Rule) -> Iterator[Problem]:
    for field, noun, items in (
        ("from", "source", None if rule.from_ is None else [f.source for f in rule.from_]),
        ("to", "operation", None if rule.to is None else [t.operation for t in rule.to]),
    ):
        if items == []:
            message = f"must have at least one {noun}; to match all requests remove it"
            yield document.problem("contradiction", (*path, field), message)
        for position, item in enumerate(items or ()):
            yield from _values(document, (*path, field, position, noun), item)
    for position, condition in enumerate(rule.when):
        yield from _condition(document, (*path, "when", position), condition)


def _values(document: Document, path: Path, item: Source | Operation | None) -> Iterator[Problem]:
    given = item.model_dump(by_alias=True, exclude_unset=True) if item is not None else {}
    if not any(given.values()):
        message = f"must have at least one condition, such as {_EXAMPLES[str(path[-1])]}"
        yield document.problem("contradiction", path[:-1] if item is None else path, message)
    for field, values in given.items():
        yield from _each(document, (*path, field), values, _FIELDS[field])


def _condition(document: Document, path: Path, condition: When) -> Iterator[Problem]:
    key = condition.key
    if wrong := _attribute(key):
        yield document.problem("schema", (*path, "key"), wrong)
    if not condition.values and not condition.not_values:
        message = "must have values or notValues"
        yield document.problem("contradiction", path, message)
    check = _ATTRIBUTES.get(key, _wildcard)
    yield from _each(document, (*path, "values"), condition.values, check)
    yield from _each(document, (*path, "notValues"), condition.not_values, check)


def _each(
    document: Document, path: Path, values: Iterable[str], check: ValueCheck
) -> Iterator[Problem]:
    for position, value in enumerate(values):
        if wrong := check(value) if value else "must not be empty":
            yield document.problem("schema", (*path, position), wrong)


# -- values ---------------------------------------------------------------------------------------


def _wildcard(value: str) -> str:
    """`exact`, `prefix*`, `*suffix`, `*`."""
    if "*" not in value or (value.count("*") == 1 and "*" in (value[0], value[-1])):
        return ""
    return f"* may stand once, at the beginning or at the end, not as in {value[:80]}"


def _principal(value: str) -> str:
    if value.startswith("spiffe://"):
        return f"is written without spiffe://: {value.removeprefix('spiffe://')[:80]}"
    return _wildcard(value)


def _account(value: str) -> str:
    namespace, slash, name = value.rpartition("/")
    if not name or "*" in value or (slash and not is_dns_label(namespace)):
        return "must be a service account, or namespace/account; there is no wildcard *"
    return ""


def _block(value: str) -> str:
    _, slash, bits = value.partition("/")
    try:
        ipaddress.ip_network(value, strict=False)
    except ValueError:
        right = False
    else:
        right = not slash or _BITS.fullmatch(bits) is not None
    if not right:
        return f"must be an IP address or a CIDR like 10.0.0.0/8, not {value[:80]}"
    return ""


def _port(value: str, least: int = 0) -> str:
    if not _PORT.fullmatch(value) or not least <= int(value) <= 65535:
        return f"must be a port from {least} to 65535, not {value[:80]}"
    return ""


def _path(value: str) -> str:
    # `{*}` and `{**}` are templates, which `supported.py` refuses.
    return _wildcard(value.replace("{**}", "").replace("{*}", "") or "/")


_POSITIVE: Final[Mapping[str, ValueCheck]] = {
    "principals": _principal,
    "requestPrincipals": _wildcard,
    "namespaces": _wildcard,
    "serviceAccounts": _account,
    "ipBlocks": _block,
    "remoteIpBlocks": _block,
    "trustDomains": _wildcard,
    "hosts": _wildcard,
    "ports": _port,
    "methods": _wildcard,
    "paths": _path,
}
_FIELDS: Final = {
    **_POSITIVE,
    **{f"not{name[0].upper()}{name[1:]}": check for name, check in _POSITIVE.items()},
}
_EXAMPLES: Final = {"source": "principals", "operation": "methods or paths"}
_ATTRIBUTES: Final[Mapping[str, ValueCheck]] = {
    "source.ip": _block,
    "source.namespace": _wildcard,
    "source.principal": _principal,
    "source.serviceAccount": _account,
    "remote.ip": _block,
    "request.auth.principal": _wildcard,
    "request.auth.audiences": _wildcard,
    "request.auth.presenter": _wildcard,
    "destination.ip": _block,
    "destination.port": _port,
    "connection.sni": _wildcard,
}
_EXPERIMENTAL: Final = "experimental.envoy.filters."


def _attribute(key: str) -> str:
    if key in _ATTRIBUTES:
        return ""
    name, bracket, inner = key.partition("[")
    named = name in ("request.headers", "request.auth.claims") or name.startswith(_EXPERIMENTAL)
    if bracket and named and inner.endswith("]") and len(inner) > 1:
        header = inner.removesuffix("]")
        if name != "request.headers" or _TOKEN.fullmatch(header.removeprefix(":")):
            return ""
        return f"{header[:80]} is not a valid name of a header"
    known = ", ".join((*_ATTRIBUTES, "request.headers[NAME]", "request.auth.claims[NAME]"))
    return f"{key[:80]} is no attribute; known: {known}"
