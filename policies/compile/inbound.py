"""inbound/<namespace>: what servers ask of their peers. So far: mTLS, strictly."""

from tulle.policies.config import InboundConfig
from tulle.policies.world import World


def inbound_namespaces(world: World) -> list[str]:
    """Namespaces that have services, and the root namespace, whose policies hold for all."""
    return sorted({world.settings.root_namespace, *(s.namespace for s in world.services)})


def compile_inbound(namespace: str) -> InboundConfig:
    """The config of one namespace."""
    return InboundConfig(namespace)
