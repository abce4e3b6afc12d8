"""The kinds that can be applied, by API group; versions of a group are aliases."""

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

from tulle.policies.resources.networking.destination_rule import DestinationRule
from tulle.policies.resources.networking.gateway import Gateway
from tulle.policies.resources.networking.service_entry import ServiceEntry
from tulle.policies.resources.networking.virtual_service import VirtualService
from tulle.policies.resources.security.authorization_policy import AuthorizationPolicy
from tulle.policies.resources.security.peer_authentication import PeerAuthentication

Kind = Literal[
    "AuthorizationPolicy",
    "DestinationRule",
    "Gateway",
    "PeerAuthentication",
    "ServiceEntry",
    "VirtualService",
]
Spec: TypeAlias = (
    AuthorizationPolicy
    | DestinationRule
    | Gateway
    | PeerAuthentication
    | ServiceEntry
    | VirtualService
)

NETWORKING: Final = "networking.istio.io"
SECURITY: Final = "security.istio.io"

VERSIONS: Final[Mapping[str, tuple[str, ...]]] = {
    NETWORKING: ("v1", "v1beta1", "v1alpha3"),
    SECURITY: ("v1", "v1beta1"),
}
"""By API group, the version to write first."""

KINDS: Final[Mapping[Kind, type[Spec]]] = {
    "AuthorizationPolicy": AuthorizationPolicy,
    "DestinationRule": DestinationRule,
    "Gateway": Gateway,
    "PeerAuthentication": PeerAuthentication,
    "ServiceEntry": ServiceEntry,
    "VirtualService": VirtualService,
}

GROUPS: Final[Mapping[Kind, str]] = {
    "AuthorizationPolicy": SECURITY,
    "DestinationRule": NETWORKING,
    "Gateway": NETWORKING,
    "PeerAuthentication": SECURITY,
    "ServiceEntry": NETWORKING,
    "VirtualService": NETWORKING,
}

NOT_YET: Final = frozenset(
    {
        ("extensions.istio.io", "TrafficExtension"),
        ("extensions.istio.io", "WasmPlugin"),
        ("networking.istio.io", "EnvoyFilter"),
        ("networking.istio.io", "ProxyConfig"),
        ("networking.istio.io", "Sidecar"),
        ("networking.istio.io", "WorkloadEntry"),
        ("networking.istio.io", "WorkloadGroup"),
        ("security.istio.io", "RequestAuthentication"),
        ("telemetry.istio.io", "Telemetry"),
    }
)
"""Istio's kinds that this version refuses by name."""


def kind_in(group: str, version: str, name: str) -> Kind | None:
    """The kind of this name, if the group has it in this version."""
    for kind, owner in GROUPS.items():
        if kind == name and owner == group and version in VERSIONS[group]:
            return kind
    return None
