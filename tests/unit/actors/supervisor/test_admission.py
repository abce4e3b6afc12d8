"""Which workloads may start: all mistakes are named, with what is allowed."""

import pytest

from tests.support.workloads import port, start_request
from tulle.actors.supervisor.admission import conflicts, request_problems, service_ports
from tulle.bus.messages import PortMap, ServiceRecord, StartRequest, Workload


def paths(request: StartRequest, namespace: str = "default", account: str = "reviews") -> list[str]:
    return [problem.path for problem in request_problems(namespace, account, request)]


def changed(**fields: object) -> StartRequest:
    return start_request().model_copy(update=fields)


def test_a_usual_request_has_no_problem() -> None:
    assert paths(start_request()) == []


def test_a_client_without_ports_has_no_problem() -> None:
    assert paths(start_request(ports=[])) == []


@pytest.mark.parametrize("name", ["", "Reviews", "-a", "a-", "a.b", "a_b", "a" * 64, "ä", "a\n"])
def test_names_are_dns_labels(name: str) -> None:
    assert paths(changed(service=name)) == ["service"]
    assert paths(start_request(), namespace=name) == ["namespace"]
    assert paths(start_request(), account=name) == ["account"]


@pytest.mark.parametrize("id", ["reviews-v1-abcdef", "reviews-abcde", "x-v1-abcde", "a/b"])
def test_an_id_that_comes_back_is_one_of_the_service(id: str) -> None:
    assert paths(changed(workload=id)) == ["workload"]
    assert paths(changed(workload="reviews-v1-abcde")) == []


@pytest.mark.parametrize("version", ["-v", "v/1", "v 1", "v" * 64])
def test_versions_are_label_values(version: str) -> None:
    assert paths(changed(version=version)) == ["version"]


def test_labels_are_those_of_kubernetes() -> None:
    good = {"app.kubernetes.io/part-of": "book_info.1", "empty": ""}
    assert paths(changed(labels=good)) == []
    assert paths(changed(labels={"a b": "c"})) == ["labels"]
    assert paths(changed(labels={"a": "b/c"})) == ["labels.a"]


def test_the_version_is_said_once_or_twice_the_same() -> None:
    assert paths(changed(version="v1", labels={"version": "v1"})) == []
    assert paths(changed(version="v1", labels={"version": "v2"})) == ["labels.version"]


@pytest.mark.parametrize(
    ("ports", "path"),
    [
        ([port(0)], "ports[0].service"),
        ([port(65536)], "ports[0].service"),
        ([port(app=0)], "ports[0].app"),
        ([port(inbound=-1)], "ports[0].inbound"),
        ([port(name="HTTP")], "ports[0].name"),
        ([port(), port(app=1, inbound=2)], "ports"),
        ([port(), port(1, inbound=2)], "ports"),
        ([port(), port(1, app=2)], "ports"),
    ],
)
def test_ports_are_in_range_and_given_once(ports: list[PortMap], path: str) -> None:
    assert paths(start_request(ports=ports)) == [path]


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"address": "localhost"}, "address"),
        ({"outbound": 0}, "outbound"),
        ({"holder": "relative.sock"}, "holder"),
        ({"holder": "/" + "a" * 107}, "holder"),
        ({"credential_sha256": "secret"}, "credential_sha256"),
    ],
)
def test_where_the_workload_is_must_make_sense(fields: dict[str, object], path: str) -> None:
    assert paths(changed(**fields)) == [path]


def test_all_mistakes_are_named_at_once() -> None:
    request = changed(service="A", version="/", address="x", ports=[port(0)])
    assert paths(request) == ["service", "version", "ports[0].service", "address"]


SERVICE = ServiceRecord(
    namespace="default",
    name="reviews",
    ports=service_ports(start_request()),
    accounts=["reviews"],
    workloads=[Workload(id="reviews-v1-abcde", account="reviews", address="127.0.0.1")],
)


def test_a_new_service_contradicts_nothing() -> None:
    assert conflicts(None, "anyone", start_request()) == []


def test_another_workload_of_the_same_shape_is_welcome() -> None:
    assert conflicts(SERVICE, "reviews", start_request(ports=[port(app=1, inbound=2)])) == []


def test_a_second_account_is_refused_even_without_workloads() -> None:
    # Who has the account of a stopped service shall not become that service for its clients.
    empty = SERVICE.model_copy(update={"workloads": []})
    for service in (SERVICE, empty):
        [found] = conflicts(service, "ratings", start_request())
        assert "use --service-account reviews" in found.message


@pytest.mark.parametrize("ports", [[], [port(9081)], [port(protocol="tcp")], [port(), port(1)]])
def test_other_ports_or_protocols_are_refused(ports: list[PortMap]) -> None:
    [found] = conflicts(SERVICE, "reviews", start_request(ports=ports))
    assert found.path == "ports" and "9080/http" in found.message


def test_a_service_without_workloads_may_change_its_ports() -> None:
    empty = SERVICE.model_copy(update={"workloads": []})
    assert conflicts(empty, "reviews", start_request(ports=[port(9081)])) == []
