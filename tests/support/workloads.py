"""Start requests and service records, for tests of the supervisor."""

import secrets

from tulle.bus.messages import PortMap, Protocol, ServiceRecord, StartRequest, Workload
from tulle.bus.messages import WorkloadState as State


def port(
    service: int = 9080,
    *,
    app: int = 8000,
    inbound: int = 15006,
    name: str = "",
    protocol: Protocol = "http",
) -> PortMap:
    return PortMap(name=name, app=app, service=service, protocol=protocol, inbound=inbound)


def start_request(
    *,
    service: str = "reviews",
    version: str = "v1",
    ports: list[PortMap] | None = None,
    labels: dict[str, str] | None = None,
    nodes: list[str] | None = None,
    request_id: str = "",
) -> StartRequest:
    """A valid request; a new id unless `request_id` says otherwise."""
    return StartRequest(
        id=request_id or secrets.token_hex(8),
        service=service,
        version=version,
        labels=labels or {},
        ports=[port()] if ports is None else ports,
        outbound=15001,
        holder="/run/holder.sock",
        credential_sha256="0" * 64,
        nodes=nodes or ["node-1"],
    )


def record(service: str = "reviews", **states: State) -> ServiceRecord:
    """A service of namespace `default` with a workload per keyword, in that state."""
    workloads = [
        Workload(id=id, account=service, state=state, address="127.0.0.1", ports={9080: 15006})
        for id, state in sorted(states.items())
    ]
    return ServiceRecord(namespace="default", name=service, accounts=[service], workloads=workloads)
