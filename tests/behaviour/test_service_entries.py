"""Hosts outside the mesh, given by ServiceEntries."""

import pytest

from tests.support.policy_mesh import Mesh
from tulle.policies.config import Cluster

ENTRY = """\
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: bank}
spec:
  hosts: [bank.example, "*.bank.example"]
  location: MESH_EXTERNAL
  resolution: STATIC
  ports:
  - {number: 80, name: http, protocol: HTTP}
  - {number: 8080, name: alt, protocol: HTTP}
  endpoints:
  - {address: 10.0.0.1, labels: {region: eu}}
  - {address: 10.0.0.2, ports: {http: 8000}, labels: {region: us}}
"""
RULE = """\
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: bank}
spec:
  host: bank.example
  trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN}}
  subsets: [{name: eu, labels: {region: eu}}]
"""
ROUTE = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: bank}
spec:
  hosts: [bank.example]
  http:
  - match: [{headers: {region: {exact: eu}}}]
    route: [{destination: {host: bank.example, subset: eu}}]
  - route: [{destination: {host: bank.example}}]
"""


def cluster(mesh: Mesh, request: str, *headers: str) -> Cluster:
    choice = mesh.choice(request, *headers)
    assert choice is not None and choice.cluster is not None
    return choice.cluster


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        ("GET http://bank.example/", "bank.example"),
        ("GET http://bank.example:8080/", "bank.example:8080"),
        ("GET http://bank.example:81/", "404 unknown_port"),
        ("GET http://eu.bank.example/", "*.bank.example"),
        ("GET http://bank.example.org/", "passthrough"),
    ],
)
def test_its_hosts_are_of_the_mesh(request_: str, answer: str) -> None:
    assert Mesh(ENTRY).send(request_) == answer


def test_its_endpoints_have_their_own_ports() -> None:
    mesh = Mesh(ENTRY)
    by_port = {
        port: [
            (e.address, e.port) for e in cluster(mesh, f"GET http://bank.example:{port}/").endpoints
        ]
        for port in (80, 8080)
    }
    assert by_port == {
        80: [("10.0.0.1", 80), ("10.0.0.2", 8000)],
        8080: [("10.0.0.1", 8080), ("10.0.0.2", 8080)],
    }


def test_it_is_spoken_to_without_mtls() -> None:
    assert cluster(Mesh(ENTRY), "GET http://bank.example/").tls == "DISABLE"
    assert cluster(Mesh(), "GET http://reviews/").tls == "ISTIO_MUTUAL"


def test_virtual_services_and_rules_work_for_it_as_for_a_service() -> None:
    mesh = Mesh(ENTRY, RULE, ROUTE)
    eu = cluster(mesh, "GET http://bank.example/", "region: eu")
    assert [endpoint.address for endpoint in eu.endpoints] == ["10.0.0.1"]
    assert eu.balancer == "ROUND_ROBIN"
    rest = cluster(mesh, "GET http://bank.example/")
    assert [endpoint.address for endpoint in rest.endpoints] == ["10.0.0.1", "10.0.0.2"]


def test_services_may_be_routed_to_it() -> None:
    text = ROUTE.replace("hosts: [bank.example]", "hosts: [ratings]")
    mesh = Mesh(ENTRY, RULE, text.replace("host: bank.example", "host: eu.bank.example"))
    # No port is named and the entry has two: that of the request, which the entry has not.
    assert mesh.send("GET http://ratings:9080/") == "503 unknown_cluster"
    named = text.replace("{host: bank.example}", "{host: bank.example, port: {number: 80}}")
    assert Mesh(ENTRY, RULE, named).send("GET http://ratings:9080/") == "bank.example"


def test_of_two_entries_for_a_host_the_older_decides() -> None:
    newer = ENTRY.replace("name: bank}", "name: a}").replace("10.0.0.1", "10.9.9.9")
    mesh = Mesh(ENTRY, newer)
    endpoints = cluster(mesh, "GET http://bank.example/").endpoints
    assert endpoints[0].address == "10.0.0.1"
    assert mesh.warnings() == ["conflict spec.hosts[0]", "conflict spec.hosts[1]"]
