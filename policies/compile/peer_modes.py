"""PeerAuthentications as config, and what of them a client has to know: auto mTLS.

A client speaks mTLS to services unless a PeerAuthentication says DISABLE; only then its clusters
say what each workload asks for. Counterpart: `decide/peers.py`, of which this is the other side.
"""

from collections.abc import Iterator
from typing import Literal

from tulle.policies.config import InboundConfig, Labels, PeerAuthenticationConfig, PeerMode
from tulle.policies.decide.peers import Mode, inherited_mode, selecting, workload_mode
from tulle.policies.resolve import Backend, key_text, spec
from tulle.policies.resources.security.common import WorkloadSelector
from tulle.policies.resources.security.peer_authentication import MutualTls, PeerAuthentication
from tulle.policies.world import Policy


def compile_peer(policy: Policy) -> PeerAuthenticationConfig:
    """A PeerAuthentication as servers execute it."""
    written = spec(policy, PeerAuthentication)
    ports = {int(port): _mode(mtls) for port, mtls in (written.port_level_mtls or {}).items()}
    return PeerAuthenticationConfig(
        key_text(policy.key),
        selected(written.selector),
        _mode(written.mtls),
        tuple(sorted(ports.items())),
    )


def selected(selector: WorkloadSelector | None) -> Labels:
    """The labels of a selector, as config holds them: sorted."""
    return tuple(sorted(selector.match_labels.items())) if selector is not None else ()


def peer_modes(backend: Backend, port: int, labels: Labels) -> tuple[PeerMode, ...]:
    """What the workloads of a service with `labels` ask of peers on a port; the first that fits.

    Empty when none says DISABLE. A policy for other values of these labels can't be meant.
    """
    if not backend.peers:
        return ()
    modes: list[PeerMode] = []
    for mode in _in_order(backend, port):
        shadowed = any(set(earlier.labels) <= set(mode.labels) for earlier in modes)
        if _may_select(mode.labels, labels) and not shadowed:
            modes.append(mode)
    return tuple(modes) if any(mode.mode == "DISABLE" for mode in modes) else ()


def _in_order(backend: Backend, port: int) -> Iterator[PeerMode]:
    namespace, root = backend.namespace, backend.root_namespace
    configs = [_config(backend, owner) for owner in dict.fromkeys((namespace, root))]
    inherited = inherited_mode(configs, root, namespace)
    for policy in selecting(configs, root, namespace):
        mode = workload_mode(policy, port) or inherited
        yield PeerMode(policy.selector, port if port in dict(policy.ports) else 0, mode)
    yield PeerMode((), 0, inherited)


def _config(backend: Backend, namespace: str) -> InboundConfig:
    peers = [policy for policy in backend.peers if policy.document.namespace == namespace]
    return InboundConfig(namespace, tuple(map(compile_peer, peers)))


def _may_select(selector: Labels, labels: Labels) -> bool:
    known = dict(labels)
    return all(known.get(name, value) == value for name, value in selector)


def _mode(mtls: MutualTls | None) -> Mode | Literal[""]:
    if mtls is None or mtls.mode is None or mtls.mode == "UNSET":
        return ""
    return mtls.mode
