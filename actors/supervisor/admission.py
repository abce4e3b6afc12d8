"""Whether a workload may start: its request by itself, then beside what the service already is.

Pure. All problems are found, not only the first; each says where, what is allowed, what to do.
"""

import ipaddress
import re
from collections.abc import Iterator, Mapping
from typing import Final

from tulle.bus.messages import PortMap, ProblemRecord, ServicePort, ServiceRecord, StartRequest

_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_LABEL_VALUE: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")
_LABEL_NAME: Final = re.compile(
    r"([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?"
)
_VALUE_RULE: Final = (
    "use 1 to 63 letters, digits, '-', '_' and '.', a letter or digit first and last"
)
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_LONGEST_SOCKET_PATH: Final = 107
_MOST_PORTS: Final = 64
_MOST_LABELS: Final = 64


class Refused(Exception):
    """A request is not carried out because of the user's mistakes, `problems`."""

    def __init__(self, problems: list[ProblemRecord]) -> None:
        super().__init__("; ".join(problem.message for problem in problems))
        self.problems = problems


def problem(code: str, path: str, message: str) -> ProblemRecord:
    """An error at `path` of the request."""
    return ProblemRecord(code=code, severity="error", path=path, message=message)


def request_problems(namespace: str, account: str, request: StartRequest) -> list[ProblemRecord]:
    """What is wrong with the request itself."""
    return [
        *_name_problems(namespace, account, request),
        *_id_problems(request),
        *_label_problems(request),
        *_port_problems(request.ports),
        *_place_problems(request),
    ]


def conflicts(
    service: ServiceRecord | None, account: str, request: StartRequest
) -> list[ProblemRecord]:
    """What contradicts the service as it is known (None: it is not)."""
    if service is None:
        return []
    found = []
    name = f"{service.namespace}/{service.name}"
    if service.accounts and account not in service.accounts:
        found.append(
            problem(
                "account-conflict",
                "account",
                f"service {name} has service account {service.accounts[0]}, not {account}: "
                f"use --service-account {service.accounts[0]}",
            )
        )
    theirs, ours = _protocols(service.ports), _protocols(service_ports(request))
    if service.workloads and theirs != ours:
        found.append(
            problem(
                "port-conflict",
                "ports",
                f"the workloads of service {name} have {_ports_text(theirs)}, this one has "
                f"{_ports_text(ours)}: all must have the same service ports and protocols",
            )
        )
    return found


def service_ports(request: StartRequest) -> list[ServicePort]:
    """The ports of the service, by number."""
    ports = sorted(request.ports, key=lambda port: port.service)
    return [ServicePort(number=p.service, name=p.name, protocol=p.protocol) for p in ports]


def name_problems(names: Mapping[str, str]) -> Iterator[ProblemRecord]:
    """What is wrong with names, by their path in the request."""
    for path, name in names.items():
        if not _NAME.fullmatch(name):
            yield problem(
                "bad-name",
                path,
                f"{path} {name!r}: use 1 to 63 lower-case letters, digits and hyphens, "
                "a letter or digit first and last",
            )


def _name_problems(namespace: str, account: str, request: StartRequest) -> Iterator[ProblemRecord]:
    yield from name_problems(
        {"namespace": namespace, "account": account, "service": request.service}
    )
    if request.version and not _LABEL_VALUE.fullmatch(request.version):
        yield problem("bad-name", "version", f"version {request.version!r}: {_VALUE_RULE}")


def _id_problems(request: StartRequest) -> Iterator[ProblemRecord]:
    """An id that a workload brings back is one that it was given: its service's."""
    front = "-".join(filter(None, (request.service, request.version)))
    if request.workload and not re.fullmatch(rf"{re.escape(front)}-[a-z]{{5}}", request.workload):
        message = f"workload {request.workload!r} is no id of {front}: leave it out for a new one"
        yield problem("bad-name", "workload", message)


def _label_problems(request: StartRequest) -> Iterator[ProblemRecord]:
    if len(request.labels) > _MOST_LABELS:
        yield problem("too-many", "labels", f"{len(request.labels)} labels, use {_MOST_LABELS}")
    for name, value in request.labels.items():
        if not _LABEL_NAME.fullmatch(name):
            yield problem("bad-name", "labels", f"label {name!r}: {_VALUE_RULE}")
        if value and not _LABEL_VALUE.fullmatch(value):
            yield problem("bad-name", f"labels.{name}", f"value {value!r}: {_VALUE_RULE}")
    version = request.labels.get("version", request.version)
    if request.version and version != request.version:
        message = f"label version={version} contradicts version {request.version}: give one"
        yield problem("contradiction", "labels.version", message)


def _port_problems(ports: list[PortMap]) -> Iterator[ProblemRecord]:
    if len(ports) > _MOST_PORTS:
        yield problem("too-many", "ports", f"{len(ports)} ports, use {_MOST_PORTS} at most")
    for index, port in enumerate(ports):
        for path in ("app", "service", "inbound"):
            number: int = getattr(port, path)
            if not 1 <= number <= 65535:
                at = f"ports[{index}].{path}"
                yield problem("bad-port", at, f"{at} is {number}: use 1 to 65535")
        if port.name and not _NAME.fullmatch(port.name):
            at = f"ports[{index}].name"
            yield problem("bad-name", at, f"port name {port.name!r}: use lower case, as for names")
    for path in ("app", "service", "inbound"):
        numbers = [getattr(port, path) for port in ports]
        for number in sorted({n for n in numbers if numbers.count(n) > 1}):
            yield problem("bad-port", "ports", f"{path} port {number} is given twice")


def _place_problems(request: StartRequest) -> Iterator[ProblemRecord]:
    try:
        ipaddress.ip_address(request.address)
    except ValueError:
        yield problem("bad-address", "address", f"{request.address!r} is not an IP address")
    if not 1 <= request.outbound <= 65535:
        yield problem("bad-port", "outbound", f"outbound is {request.outbound}: use 1 to 65535")
    if not request.holder.startswith("/") or len(request.holder) > _LONGEST_SOCKET_PATH:
        message = f"holder must be an absolute path of at most {_LONGEST_SOCKET_PATH} bytes"
        yield problem("bad-path", "holder", message)
    if not _DIGEST.fullmatch(request.credential_sha256):
        message = "credential_sha256 must be 64 hexadecimal digits in lower case"
        yield problem("bad-credential", "credential_sha256", message)


def _protocols(ports: list[ServicePort]) -> dict[int, str]:
    return {port.number: port.protocol for port in ports}


def _ports_text(ports: dict[int, str]) -> str:
    return ", ".join(f"{number}/{ports[number]}" for number in sorted(ports)) or "no ports"
