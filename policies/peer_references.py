"""Which older PeerAuthentication decided before one. Part of `validate.py`."""

from collections.abc import Iterator, Mapping

from tulle.policies.problems import Path, Problem
from tulle.policies.resolve import Index, spec
from tulle.policies.resources.security.peer_authentication import PeerAuthentication
from tulle.policies.world import Policy


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
