"""ServiceEntry: hosts that the registry does not know."""

import re
from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from tulle.policies.resources.base import Maybe, PortNumber, Resource, UInt32

_PORT_NAME = re.compile(r"[a-zA-Z0-9](?:[-a-zA-Z0-9]{0,60}[a-zA-Z0-9])?")


def _no_wildcard_alone(host: str) -> str:
    if host == "*":
        raise PydanticCustomError("host", "must not be the wildcard * alone; *.example.com may be")
    return host


def _port_name(name: str) -> str:
    if not _PORT_NAME.fullmatch(name):
        raise PydanticCustomError("port_name", "must be letters, digits and - (at most 62)")
    return name


def _socket_path(address: str) -> str:
    path = address.removeprefix("unix://")
    if path != address and (path[:1] not in ("/", "@") or path.endswith("/")):
        raise PydanticCustomError("address", "must be unix:///path or unix://@name")
    return address


def _no_wildcard(value: str) -> str:
    if "*" in value:
        raise PydanticCustomError("selector", "must not contain a wildcard")
    return value


class ServicePort(Resource):
    """A port of the hosts."""

    number: PortNumber
    protocol: Maybe[Annotated[str, Field(max_length=256)]] = None
    name: Annotated[str, Field(max_length=256)]
    target_port: Maybe[PortNumber] = None


class WorkloadEntry(Resource):
    """An endpoint. `ports` maps names of the entry's ports to the endpoint's own numbers."""

    address: Maybe[Annotated[str, Field(max_length=256), AfterValidator(_socket_path)]] = None
    ports: dict[Annotated[str, AfterValidator(_port_name)], PortNumber] = Field(
        default_factory=dict, max_length=128
    )
    labels: dict[str, str] = Field(default_factory=dict, max_length=256)
    network: Maybe[Annotated[str, Field(max_length=2048)]] = None
    locality: Maybe[Annotated[str, Field(max_length=2048)]] = None
    weight: Maybe[UInt32] = None
    service_account: Maybe[Annotated[str, Field(max_length=253)]] = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.address is None and self.network is None:
            raise PydanticCustomError("contradiction", "an endpoint needs an address")
        if self.address is not None and self.address.startswith("unix://") and self.ports:
            raise PydanticCustomError("contradiction", "a unix:// address can't have ports")
        return self


class EntryWorkloadSelector(Resource):
    """Workloads of the mesh as endpoints."""

    labels: dict[str, Annotated[str, Field(max_length=63), AfterValidator(_no_wildcard)]] = Field(
        default_factory=dict, max_length=256
    )


class ServiceEntry(Resource):
    """The `spec` of a ServiceEntry."""

    kind: ClassVar[Literal["ServiceEntry"]] = "ServiceEntry"
    one_of: ClassVar[tuple[tuple[str, ...], ...]] = (("workload_selector", "endpoints"),)

    hosts: tuple[Annotated[str, AfterValidator(_no_wildcard_alone)], ...] = Field(
        min_length=1, max_length=256
    )
    addresses: tuple[Annotated[str, Field(max_length=64)], ...] = Field(default=(), max_length=256)
    ports: tuple[ServicePort, ...] = Field(default=(), max_length=256)
    location: Maybe[Literal["MESH_EXTERNAL", "MESH_INTERNAL"]] = None
    resolution: Maybe[Literal["NONE", "STATIC", "DNS", "DNS_ROUND_ROBIN", "DYNAMIC_DNS"]] = None
    endpoints: Maybe[Annotated[tuple[WorkloadEntry, ...], Field(max_length=4096)]] = None
    workload_selector: Maybe[EntryWorkloadSelector] = None
    export_to: tuple[str, ...] = ()
    subject_alt_names: tuple[str, ...] = ()
