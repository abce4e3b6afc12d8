"""Changes of a service's record, as functions from record to record. Pure.

The record is one value: a workload's change rewrites it (docs/decisions/0001).
"""

from collections.abc import Callable
from typing import Final

from tulle.actors.supervisor.admission import Refused, conflicts, service_ports
from tulle.bus.messages import ServiceRecord, StartRequest, Workload, WorkloadState

Change = Callable[[ServiceRecord | None], ServiceRecord | None]

LETTERS: Final = "abcdefghijklmnopqrstuvwxyz"
SUFFIX_LENGTH: Final = 5


def workload_id(request: StartRequest, suffix: str) -> str:
    """`<service>-<version>-<suffix>`; `<service>-<suffix>` without a version."""
    parts = [request.service, request.version, suffix] if request.version else []
    return "-".join(parts or [request.service, suffix])


def workload_labels(request: StartRequest) -> dict[str, str]:
    """What policies select by: the user's labels, `app` and `version` unless he said otherwise."""
    labels = {"app": request.service}
    if request.version:
        labels["version"] = request.version
    return labels | request.labels


def joining(namespace: str, account: str, request: StartRequest, id: str, node: str) -> Change:
    """The workload joins its service, which it makes if it is the first. May raise `Refused`."""
    workload = Workload(
        id=id,
        version=request.version,
        labels=workload_labels(request),
        account=account,
        node=node,
        address=request.address,
        ports={port.service: port.inbound for port in request.ports},
    )

    def change(service: ServiceRecord | None) -> ServiceRecord:
        if found := conflicts(service, account, request):
            raise Refused(found)
        before = service or ServiceRecord(namespace=namespace, name=request.service)
        others = [other for other in before.workloads if other.id != id]
        return before.model_copy(
            update={
                "ports": before.ports if before.workloads else service_ports(request),
                "accounts": before.accounts or [account],
                "workloads": sorted([*others, workload], key=lambda one: one.id),
            }
        )

    return change


def turning(id: str, state: WorkloadState) -> Change:
    """The workload's state becomes `state`; nothing changes when it is not there."""

    def change(service: ServiceRecord | None) -> ServiceRecord | None:
        if service is None:
            return None
        workloads = [
            one.model_copy(update={"state": state}) if one.id == id else one
            for one in service.workloads
        ]
        return service.model_copy(update={"workloads": workloads})

    return change


def leaving(id: str) -> Change:
    """The workload leaves; the service stays known."""

    def change(service: ServiceRecord | None) -> ServiceRecord | None:
        if service is None:
            return None
        others = [one for one in service.workloads if one.id != id]
        return service.model_copy(update={"workloads": others})

    return change
