"""What a server asks of its peers: the PeerAuthentication that counts for a workload and a port.

Precedence as Istio's: the workload's policy (its port first), then that of its namespace, then that
of the mesh; what is unset is inherited. Of two policies of one level the older counts alone.
Counterparts: the inbound edge asks for its own workload; `compile/peer_modes.py` tells clients of a
service.
"""

from collections.abc import Iterator, Sequence
from typing import Final, Literal

from tulle.policies.config import InboundConfig, Labels, PeerAuthenticationConfig

Mode = Literal["DISABLE", "PERMISSIVE", "STRICT"]

DEFAULT: Final[Mode] = "STRICT"
"""Without any PeerAuthentication. Istio's is PERMISSIVE (design, section 4)."""


def mode_of(
    configs: Sequence[InboundConfig],
    root_namespace: str,
    namespace: str,
    labels: Labels,
    port: int,
) -> Mode:
    """The mode of a workload of `namespace` with `labels`, on a service port.

    `configs` hold at least those of the namespace and of the root namespace, if there are any.
    """
    for policy in selecting(configs, root_namespace, namespace):
        if set(policy.selector) <= set(labels):
            return workload_mode(policy, port) or inherited_mode(configs, root_namespace, namespace)
    return inherited_mode(configs, root_namespace, namespace)


def selecting(
    configs: Sequence[InboundConfig], root_namespace: str, namespace: str
) -> Iterator[PeerAuthenticationConfig]:
    """The policies with a selector, the one that counts more first: the namespace's, the root's."""
    for owner in dict.fromkeys((namespace, root_namespace)):
        yield from (policy for policy in _peers(configs, owner) if policy.selector)


def workload_mode(policy: PeerAuthenticationConfig, port: int) -> Mode | None:
    """What a workload's own policy says of a port; None: nothing, it is inherited."""
    return dict(policy.ports).get(port) or policy.mode or None


def inherited_mode(configs: Sequence[InboundConfig], root_namespace: str, namespace: str) -> Mode:
    """What holds in a namespace for workloads that no policy selects."""
    for owner in (namespace, root_namespace):
        wide = (policy for policy in _peers(configs, owner) if not policy.selector)
        if (policy := next(wide, None)) is not None and policy.mode:
            return policy.mode
    return DEFAULT


def _peers(configs: Sequence[InboundConfig], namespace: str) -> Iterator[PeerAuthenticationConfig]:
    return (p for config in configs if config.namespace == namespace for p in config.peers)
