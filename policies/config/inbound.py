"""inbound/<namespace>: what servers of a namespace ask of their peers, and whom they allow what."""

from dataclasses import dataclass
from typing import Literal

from tulle.policies.config.labels import Labels


@dataclass(frozen=True, slots=True)
class PeerAuthenticationConfig:
    """A PeerAuthentication: `selector` empty holds for its namespace, or mesh-wide in the root's.

    `mode` empty: unset, inherited. `ports` (service ports, sorted) count before it.
    """

    source: str
    selector: Labels = ()
    mode: Literal["", "DISABLE", "PERMISSIVE", "STRICT"] = ""
    ports: tuple[tuple[int, Literal["", "DISABLE", "PERMISSIVE", "STRICT"]], ...] = ()


@dataclass(frozen=True, slots=True)
class SourceMatch:
    """All conditions that are not empty must hold; of the values of one, any. As Istio's `from`.

    Principals are without `spiffe://`. Values may be exact, `prefix*`, `*suffix` or `*`.
    """

    principals: tuple[str, ...] = ()
    not_principals: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()
    not_namespaces: tuple[str, ...] = ()
    service_accounts: tuple[str, ...] = ()  # `<namespace>/<account>`
    not_service_accounts: tuple[str, ...] = ()
    ip_blocks: tuple[str, ...] = ()  # address or CIDR
    not_ip_blocks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OperationMatch:
    """As SourceMatch; Istio's `to`. Ports are service ports as text."""

    hosts: tuple[str, ...] = ()
    not_hosts: tuple[str, ...] = ()
    ports: tuple[str, ...] = ()
    not_ports: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    not_methods: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    not_paths: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Condition:
    """Istio's `when`: the attribute `key` has one of `values` and none of `not_values`."""

    key: str
    values: tuple[str, ...] = ()
    not_values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AuthorizationRule:
    """Holds when one source, one operation and all conditions do; none of a kind: it always does.

    `name` is `rules[0]`, as reasons name it.
    """

    name: str
    sources: tuple[SourceMatch, ...] = ()
    operations: tuple[OperationMatch, ...] = ()
    conditions: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True)
class AuthorizationConfig:
    """An AuthorizationPolicy; without rules it never matches. `source` as of a Route."""

    source: str
    selector: Labels
    action: Literal["ALLOW", "DENY"]
    rules: tuple[AuthorizationRule, ...] = ()


@dataclass(frozen=True, slots=True)
class InboundConfig:
    """What servers of a namespace ask of their peers, older policies first."""

    namespace: str
    peers: tuple[PeerAuthenticationConfig, ...] = ()
    policies: tuple[AuthorizationConfig, ...] = ()
    kind: Literal["inbound"] = "inbound"

    def inconsistencies(self) -> list[str]:
        """What must never be: said as sentences, empty when all is well."""
        return []
