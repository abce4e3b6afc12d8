"""What a PeerAuthentication says and can't mean."""

from collections.abc import Iterator

from tulle.policies.contradicting.conditions import wrong_port
from tulle.policies.contradicting.selectors import workload_selector
from tulle.policies.parse import Document
from tulle.policies.problems import Path, Problem
from tulle.policies.resources.security.peer_authentication import PeerAuthentication


def peer_authentication(document: Document, policy: PeerAuthentication) -> Iterator[Problem]:
    """Everything that a PeerAuthentication says and can't mean."""
    yield from workload_selector(document, policy.selector)
    if policy.port_level_mtls is None:
        return
    path: Path = ("spec", "portLevelMtls")
    if policy.selector is None or not policy.selector.match_labels:
        message = "portLevelMtls needs a selector with matchLabels"
        yield document.problem("contradiction", path, message)
    for port in policy.port_level_mtls:
        if wrong := wrong_port(port, least=1):
            yield document.problem("schema", (*path, port), wrong)
