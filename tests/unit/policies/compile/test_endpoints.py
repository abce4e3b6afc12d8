"""Endpoints of ServiceEntries: addresses, ports, labels."""

import pytest

from tests.support.policy_mesh import Mesh
from tulle.policies.compile.endpoints import by_dns, static_endpoints
from tulle.policies.config import Labels, StaticEndpoint
from tulle.policies.resolve import Backend, Index

ENTRY = """\
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: outside}
spec:
  hosts: [api.example]
  resolution: DNS
  ports:
  - {number: 80, name: http, protocol: HTTP, targetPort: 8080}
  - {number: 81, name: alt, protocol: HTTP}
"""
LISTED = (
    "  endpoints: [{address: b.example, labels: {v: '1'}}, {address: a.example, ports: {http: 9}}]"
)


def backend(text: str, host: str = "api.example") -> Backend:
    return Index(Mesh(text).world).backend(host)


@pytest.mark.parametrize(
    ("text", "number", "labels", "endpoints"),
    [
        (ENTRY, 80, (), [("api.example", 8080)]),
        (ENTRY, 81, (), [("api.example", 81)]),
        (ENTRY, 80, (("v", "1"),), []),
        (ENTRY + LISTED, 80, (), [("a.example", 9), ("b.example", 8080)]),
        (ENTRY + LISTED, 81, (), [("a.example", 81), ("b.example", 81)]),
        (ENTRY + LISTED, 80, (("v", "1"),), [("b.example", 8080)]),
    ],
)
def test_endpoints_of_a_port(
    text: str, number: int, labels: Labels, endpoints: list[tuple[str, int]]
) -> None:
    here = backend(text)
    [port] = [port for port in here.ports if port.number == number]
    found = static_endpoints(here, port, labels)
    assert [(endpoint.address, endpoint.port) for endpoint in found] == endpoints
    assert by_dns(here)


def test_labels_are_sorted_and_equal_endpoints_are_one() -> None:
    endpoint = "{address: a.example, labels: {b: '1', a: '2'}}"
    here = backend(f"{ENTRY}  endpoints: [{endpoint}, {endpoint}]")
    labels = (("a", "2"), ("b", "1"))
    assert static_endpoints(here, here.ports[0], ()) == (StaticEndpoint("a.example", 8080, labels),)


def test_a_service_has_none_of_its_own() -> None:
    here = backend(ENTRY, "reviews.default.svc.cluster.local")
    assert static_endpoints(here, here.ports[0], ()) == ()
    assert not by_dns(here)
