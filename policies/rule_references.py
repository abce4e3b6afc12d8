"""What a DestinationRule refers to and is not there, and which older rule decided before it.

Part of `validate.py`.
"""

from collections.abc import Iterator

from tulle.policies import hostnames
from tulle.policies.parse import Document
from tulle.policies.problems import Path, Problem, listed
from tulle.policies.references import no_host
from tulle.policies.resolve import Backend, Index, spec
from tulle.policies.resources.networking.destination_rule import (
    ClientTls,
    DestinationRule,
    TrafficPolicy,
)
from tulle.policies.world import Policy


def rule_references(index: Index, policy: Policy) -> Iterator[Problem]:
    """Warnings about host and ports, errors about TLS that its hosts can't have."""
    document, rule = policy.document, spec(policy, DestinationRule)
    path: Path = ("spec", "host")
    host = index.qualify(rule.host, document.namespace)
    backend = index.backend(host)
    if not backend.known and not hostnames.is_wildcard(host):
        yield document.problem("missing-reference", path, no_host(index, host), "warning")
    yield from _tls(index, policy, host)
    if policy not in backend.rules and backend.rules:
        used = backend.rules[0].key
        message = f"{used} already decides about {host}; this rule is not used"
        yield document.problem("conflict", path, message, "warning")
        return
    if backend.known and not hostnames.is_wildcard(host):
        yield from _ports(document, rule, backend)
    for older in backend.rules:
        if older.key == policy.key:
            return
        yield from _overlap(policy, older)


def _tls(index: Index, policy: Policy, host: str) -> Iterator[Problem]:
    """TLS to hosts of ServiceEntries: mTLS of the mesh, or a wildcard without a name to ask for."""
    written = list(_written_tls(spec(policy, DestinationRule)))
    if not any(tls.mode not in (None, "DISABLE") for _, tls in written):
        return
    hosts = _outside(index, policy, host)
    wildcards = [name for name in hosts if hostnames.is_wildcard(name)]
    for path, tls in written:
        if tls.mode == "ISTIO_MUTUAL" and hosts:
            message = (
                f"ISTIO_MUTUAL to the host of a ServiceEntry ({hosts[0]}) is not supported yet; "
                "remove tls"
            )
            yield policy.document.problem("not-supported-yet", path, message)
        elif tls.mode in ("SIMPLE", "MUTUAL") and not tls.sni and wildcards:
            message = (
                f"TLS to the wildcard {wildcards[0]} without sni is not supported yet; give sni"
            )
            yield policy.document.problem("not-supported-yet", path, message)


def _outside(index: Index, policy: Policy, host: str) -> list[str]:
    """The hosts of ServiceEntries that the rule applies to, sorted."""
    candidates = {host}
    if hostnames.is_wildcard(host):
        candidates |= {name for name in index.entries if hostnames.covers(host, name)}
    backends = map(index.backend, sorted(candidates))
    return [b.host for b in backends if b.entry is not None and policy in b.rules]


def _policies(rule: DestinationRule) -> Iterator[tuple[Path, TrafficPolicy]]:
    """All traffic policies of a rule and where they stand."""
    if rule.traffic_policy is not None:
        yield ("spec", "trafficPolicy"), rule.traffic_policy
    for position, subset in enumerate(rule.subsets):
        if subset.traffic_policy is not None:
            yield ("spec", "subsets", position, "trafficPolicy"), subset.traffic_policy


def _written_tls(rule: DestinationRule) -> Iterator[tuple[Path, ClientTls]]:
    for path, policy in _policies(rule):
        if policy.tls is not None:
            yield (*path, "tls"), policy.tls
        for position, settings in enumerate(policy.port_level_settings):
            if settings.tls is not None:
                yield (*path, "portLevelSettings", position, "tls"), settings.tls


def _ports(document: Document, rule: DestinationRule, backend: Backend) -> Iterator[Problem]:
    known = [port.number for port in backend.ports]
    for path, policy in _policies(rule):
        for position, settings in enumerate(policy.port_level_settings):
            number = settings.port.number if settings.port is not None else None
            if number is not None and number not in known:
                message = (
                    f"{backend.host} has no port {number} (yet); these settings are not used. "
                    f"Its ports: {listed(map(str, known))}"
                )
                where = (*path, "portLevelSettings", position, "port")
                yield document.problem("missing-reference", where, message, "warning")


def _overlap(policy: Policy, older: Policy) -> Iterator[Problem]:
    """Rules of one namespace for one host are merged; what both say, the older decides."""
    document = policy.document
    one, other = spec(older, DestinationRule), spec(policy, DestinationRule)
    if one.traffic_policy is not None and other.traffic_policy is not None:
        message = f"the older {older.key} already has one for this host; this one is not used"
        yield document.problem("conflict", ("spec", "trafficPolicy"), message, "warning")
    names = {subset.name for subset in one.subsets}
    for position, subset in enumerate(other.subsets):
        if subset.name in names:
            message = f"the older {older.key} already has the subset {subset.name}"
            path = ("spec", "subsets", position, "name")
            yield document.problem("conflict", path, message, "warning")
