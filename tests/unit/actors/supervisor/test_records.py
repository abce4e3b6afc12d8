"""A service's record, changed by workloads that join, turn and leave."""

import pytest

from tests.support.workloads import port, record, start_request
from tulle.actors.supervisor.admission import Refused
from tulle.actors.supervisor.records import (
    joining,
    leaving,
    turning,
    workload_id,
    workload_labels,
)
from tulle.bus.messages import ServiceRecord


def joined(before: ServiceRecord | None, id: str = "reviews-v1-abcde") -> ServiceRecord:
    after = joining("default", "reviews", start_request(), id, "node-1")(before)
    assert after is not None
    return after


def test_an_id_names_service_and_version() -> None:
    assert workload_id(start_request(version="v1"), "abcde") == "reviews-v1-abcde"
    assert workload_id(start_request(version=""), "abcde") == "reviews-abcde"


def test_labels_have_app_and_version_unless_the_user_says_otherwise() -> None:
    assert workload_labels(start_request()) == {"app": "reviews", "version": "v1"}
    own = start_request(labels={"app": "shop", "tier": "web"})
    assert workload_labels(own) == {"app": "shop", "version": "v1", "tier": "web"}
    assert workload_labels(start_request(version="")) == {"app": "reviews"}


def test_the_first_workload_makes_its_service() -> None:
    service = joined(None)
    assert (service.namespace, service.name, service.accounts) == (
        "default",
        "reviews",
        ["reviews"],
    )
    assert [(one.number, one.protocol) for one in service.ports] == [(9080, "http")]
    [workload] = service.workloads
    assert (workload.state, workload.ports, workload.node) == ("starting", {9080: 15006}, "node-1")


def test_workloads_are_sorted_by_id() -> None:
    service = joined(joined(None, "reviews-v1-zzzzz"), "reviews-v1-aaaaa")
    assert [one.id for one in service.workloads] == ["reviews-v1-aaaaa", "reviews-v1-zzzzz"]


def test_joining_again_is_one_workload() -> None:
    assert joined(joined(None)) == joined(None)


def test_what_contradicts_the_service_does_not_join() -> None:
    tcp = start_request(ports=[port(protocol="tcp")])
    with pytest.raises(Refused, match="9080/tcp"):
        joining("default", "reviews", tcp, "reviews-v1-zzzzz", "node-1")(joined(None))


def test_turning_changes_one_state() -> None:
    after = turning("a", "draining")(record(a="ready", b="ready"))
    assert after == record(a="draining", b="ready")


def test_turning_whom_the_record_does_not_have_changes_nothing() -> None:
    assert turning("c", "ready")(record(a="ready")) == record(a="ready")
    assert turning("c", "ready")(None) is None


def test_the_service_stays_when_its_last_workload_leaves() -> None:
    assert leaving("a")(record(a="draining")) == record()
    assert leaving("a")(None) is None
