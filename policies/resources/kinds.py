"""The kinds that can be applied, by API group; versions of a group are aliases."""

from typing import Literal, TypeAlias

from tulle.policies.resources.networking.destination_rule import DestinationRule
from tulle.policies.resources.networking.gateway import Gateway
from tulle.policies.resources.networking.service_entry import ServiceEntry
from tulle.policies.resources.networking.virtual_service import VirtualService

Kind = Literal["DestinationRule", "Gateway", "ServiceEntry", "VirtualService"]
Spec: TypeAlias = DestinationRule | Gateway | ServiceEntry | VirtualService

NETWORKING = "networking.istio.io"
VERSIONS = ("v1", "v1beta1", "v1alpha3")

KINDS: dict[Kind, type[Spec]] = {
    "DestinationRule": DestinationRule,
    "Gateway": Gateway,
    "ServiceEntry": ServiceEntry,
    "VirtualService": VirtualService,
}

NOT_YET = frozenset(
    {
        ("extensions.istio.io", "TrafficExtension"),
        ("extensions.istio.io", "WasmPlugin"),
        ("networking.istio.io", "EnvoyFilter"),
        ("networking.istio.io", "ProxyConfig"),
        ("networking.istio.io", "Sidecar"),
        ("networking.istio.io", "WorkloadEntry"),
        ("networking.istio.io", "WorkloadGroup"),
        ("security.istio.io", "AuthorizationPolicy"),
        ("security.istio.io", "PeerAuthentication"),
        ("security.istio.io", "RequestAuthentication"),
        ("telemetry.istio.io", "Telemetry"),
    }
)
"""Istio's kinds that this version refuses by name."""
