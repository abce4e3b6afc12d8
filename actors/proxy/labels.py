"""The metric labels of the parties of a request (stats.py joins them)."""

import re
from typing import Final

from tulle.actors.proxy.spec import ProxySpec
from tulle.actors.proxy.tls import parse_spiffe
from tulle.bus.messages import Workload
from tulle.policies.config import Cluster, StaticEndpoint

UNKNOWN: Final = "unknown"
_PARTY: Final = (
    "workload",
    "workload_namespace",
    "principal",
    "app",
    "version",
    "canonical_service",
    "canonical_revision",
    "cluster",
)
UNKNOWN_SOURCE: Final = {f"source_{name}": UNKNOWN for name in _PARTY}
UNKNOWN_DESTINATION: Final = {f"destination_{name}": UNKNOWN for name in _PARTY}
NO_REVISION: Final = "latest"  # what Istio calls the revision of a workload without a version
_VERSIONED: Final = re.compile(r"(.+)-(v[0-9].*)")
_ID_SUFFIX: Final = 6  # `-` and five letters


def of_proxy(side: str, spec: ProxySpec) -> dict[str, str]:
    """The labels of the proxy's own workload; `side` is `source` or `destination`."""
    return _party(
        side, spec.workload_name, spec.namespace, spec.spiffe_id, spec.service, spec.version
    )


def of_workload(namespace: str, service: str, workload: Workload, principal: str) -> dict[str, str]:
    """The labels of a workload that requests are sent to."""
    version = workload.version
    name = f"{service}-{version}" if version else service
    return _party("destination", name, namespace, principal, service, version)


def of_static(endpoint: StaticEndpoint) -> dict[str, str]:
    """The labels of an endpoint outside the mesh; its own labels may name app and version."""
    own = dict(endpoint.labels)
    app = own.get("app", UNKNOWN)
    version = own.get("version", "")
    return _party("destination", UNKNOWN, UNKNOWN, UNKNOWN, app, version)


def of_peer(principal: str, workload_id: str) -> dict[str, str]:
    """The labels of the peer that proved `principal` and calls itself `workload_id`.

    The id is `<service>-<version>-<5 letters>`. It only labels: authority comes from `principal`.
    """
    spiffe = parse_spiffe(principal)
    if spiffe is None:
        return UNKNOWN_SOURCE
    name = workload_id[:-_ID_SUFFIX] if workload_id[-_ID_SUFFIX:-5] == "-" else UNKNOWN
    service, version = spiffe.account, ""  # the account is the service's name by default
    if name.startswith(f"{service}-"):
        version = name[len(service) + 1 :]
    elif name not in (service, UNKNOWN):
        # Of another account than the service's name; `ingress`, `my-app` have no version.
        found = _VERSIONED.fullmatch(name)
        service, version = (found[1], found[2]) if found else (name, "")
    return _party("source", name, spiffe.namespace, principal, service, version)


def of_service(cluster: Cluster) -> dict[str, str]:
    """The labels of the service that a cluster belongs to."""
    namespace, _, name = cluster.service.rpartition("/")
    return service_labels(cluster.host, name or cluster.host, namespace or UNKNOWN)


def service_labels(host: str, name: str, namespace: str) -> dict[str, str]:
    """The labels of the service `name` in `namespace`, whose full name is `host`."""
    return {
        "destination_service": host,
        "destination_service_name": name,
        "destination_service_namespace": namespace,
    }


UNKNOWN_SERVICE: Final = service_labels(UNKNOWN, UNKNOWN, UNKNOWN)


def name_clusters(labels: dict[str, str], mesh: str) -> dict[str, str]:
    """`labels` with the mesh as the cluster of each party that is of the mesh."""
    named = {
        f"{side}_cluster": mesh
        for side in ("source", "destination")
        if labels.get(f"{side}_workload_namespace", UNKNOWN) != UNKNOWN
    }
    return labels | named


def _party(
    side: str, workload: str, namespace: str, principal: str, service: str, version: str
) -> dict[str, str]:
    revision = version or (UNKNOWN if service == UNKNOWN else NO_REVISION)
    named = (workload, namespace, principal, service, version or UNKNOWN, service, revision)
    values = (*named, UNKNOWN)  # the cluster: `name_clusters`
    return {f"{side}_{name}": value for name, value in zip(_PARTY, values, strict=True)}
