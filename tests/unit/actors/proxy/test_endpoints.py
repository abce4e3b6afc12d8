"""Endpoints of clusters: from the registry and from configs, one object per endpoint."""

from dataclasses import replace

from tests.support.bench_plane import NoDialer
from tests.support.certificates import spiffe
from tests.support.fake_loop import ManualLoop
from tests.support.serving_plane import (
    service_cluster,
    service_record,
    spec,
    static_cluster,
)
from tulle.actors.proxy.cluster import Cluster
from tulle.actors.proxy.edge import Surroundings
from tulle.actors.proxy.endpoints import EndpointBook
from tulle.actors.proxy.limits import LimitedEndpoint
from tulle.actors.proxy.material import Materials
from tulle.actors.proxy.outbox import Outbox
from tulle.actors.proxy.security import Dialers, Security, security_of
from tulle.actors.proxy.stats import Stats
from tulle.actors.proxy.trace import Tracer
from tulle.actors.proxy.wheel import Wheel
from tulle.bus.messages import ServiceRecord, WorkloadState
from tulle.policies import config as configs

OWNER = ("outbound", "reviews.default.svc.cluster.local")


async def no_name(host: str) -> list[str]:
    raise OSError("no name has an address here")


def book() -> EndpointBook:
    loop = ManualLoop()
    around = Surroundings(spec("sidecar"), Wheel(loop), Outbox(loop), Stats(), Tracer())
    return EndpointBook(around, Dialers(NoDialer(), NoDialer(), Materials(), no_name))


def only(clusters: dict[str, Cluster]) -> Cluster:
    (cluster,) = clusters.values()
    return cluster


def ports(cluster: Cluster) -> list[int]:
    return [endpoint.port for endpoint in cluster.endpoints]


def in_state(record: ServiceRecord, state: WorkloadState) -> ServiceRecord:
    workloads = [workload.model_copy(update={"state": state}) for workload in record.workloads]
    return record.model_copy(update={"workloads": workloads})


def test_workloads_before_and_after_their_cluster() -> None:
    it = book()
    it.install_service(service_record(1))
    cluster = only(it.install(OWNER, [service_cluster()]))
    assert ports(cluster) == [1]
    it.install_service(service_record(1, 2))
    assert ports(cluster) == [1, 2]
    assert cluster.mutual
    assert cluster.endpoints[0].accounts == {spiffe("reviews")}


def test_only_ready_workloads_that_serve_the_port_and_have_the_labels() -> None:
    it = book()
    it.install_service(service_record(1, 2))
    clusters = it.install(
        OWNER,
        [service_cluster(), service_cluster(subset="v2"), service_cluster(port=1234)],
    )
    assert [ports(cluster) for cluster in clusters.values()] == [[1, 2], [2], []]
    it.install_service(in_state(service_record(1, 2), "draining"))
    assert [ports(cluster) for cluster in clusters.values()] == [[], [], []]
    it.install_service(in_state(service_record(1, 2), "starting"))
    assert [ports(cluster) for cluster in clusters.values()] == [[], [], []]


def test_labels_of_a_workload_count_as_its_version_does() -> None:
    it = book()
    record = service_record(1)
    labelled = record.workloads[0].model_copy(update={"labels": {"track": "canary"}})
    it.install_service(record.model_copy(update={"workloads": [labelled]}))
    canary = replace(service_cluster(), labels=(("track", "canary"), ("version", "v1")))
    other = replace(service_cluster(subset="x"), labels=(("track", "stable"),))
    clusters = it.install(OWNER, [canary, other])
    assert [ports(cluster) for cluster in clusters.values()] == [[1], []]


def test_equal_endpoints_are_the_same_object_in_all_clusters_and_installs() -> None:
    it = book()
    it.install_service(service_record(1))
    first = only(it.install(OWNER, [service_cluster()]))
    second = only(it.install(("gateway", "ingress"), [service_cluster(subset="v1")]))
    assert first.endpoints == second.endpoints
    again = it.install(OWNER, [service_cluster(), service_cluster(subset="v1")])
    assert [cluster.endpoints for cluster in again.values()] == [first.endpoints] * 2


def test_a_cluster_that_did_not_change_is_the_same_object() -> None:
    it = book()
    first = only(it.install(OWNER, [service_cluster()]))
    assert only(it.install(OWNER, [service_cluster()])) is first
    changed = replace(service_cluster(), balancer="RANDOM")
    assert only(it.install(OWNER, [changed])) is not first


def test_an_endpoint_that_no_cluster_names_is_retired() -> None:
    it = book()
    it.install_service(service_record(1))
    one = only(it.install(OWNER, [service_cluster()])).endpoints
    it.install(("gateway", "ingress"), [service_cluster()])
    it.remove(OWNER)
    assert not one[0]._retired
    it.install(("gateway", "ingress"), [])
    assert one[0]._retired
    it.remove(OWNER)
    # Back again, it is a new one: the old one's requests may still be under way.
    assert only(it.install(OWNER, [service_cluster()])).endpoints != one


def test_accounts_follow_the_registry() -> None:
    it = book()
    it.install_service(service_record(1))
    (endpoint,) = only(it.install(OWNER, [service_cluster()])).endpoints
    it.install_service(service_record(1, accounts=("reviews", "more")))
    assert endpoint.accounts == {spiffe("reviews"), spiffe("more")}


def test_static_endpoints_are_plain() -> None:
    cluster = only(book().install(OWNER, [static_cluster(1, 2)]))
    assert ports(cluster) == [1, 2]
    assert not cluster.mutual


def test_a_broken_cluster_has_none() -> None:
    it = book()
    it.install_service(service_record(1))
    broken = replace(service_cluster(), broken="unknown_subset")
    assert ports(only(it.install(OWNER, [broken]))) == []


def test_listeners_of_the_mesh_are_known() -> None:
    it = book()
    it.install_service(service_record(1, 2))
    assert it.is_listener("127.0.0.1", 2)
    assert not it.is_listener("127.0.0.1", 3)
    assert not it.is_listener("192.0.2.1", 2)


def test_the_config_of_a_service_entry_keeps_its_labels() -> None:
    endpoint = configs.StaticEndpoint("192.0.2.1", 80, (("version", "v1"),))
    it = replace(static_cluster(), endpoints=(endpoint,))
    (made,) = only(book().install(OWNER, [it])).endpoints
    assert made.recorder is not None


def test_a_replaced_cluster_that_a_request_holds_on_to_learns_of_endpoints() -> None:
    it = book()
    it.install_service(service_record(1))
    held = only(it.install(OWNER, [service_cluster()]))
    now = only(it.install(OWNER, [replace(service_cluster(), balancer="RANDOM")]))
    it.install_service(service_record(2))
    assert now is not held
    assert ports(held) == ports(now) == [2]


LIMITED = replace(service_cluster(), limits=configs.ConnectionLimits(max_connections=1))


def test_clusters_with_limits_or_outlier_detection_have_endpoints_of_their_own() -> None:
    it = book()
    it.install_service(service_record(1))
    plain = service_cluster(subset="v1")
    strict = replace(service_cluster(port=9080), name="strict", outlier=configs.Outlier())
    clusters = it.install(OWNER, [plain, replace(LIMITED, name="limited"), strict])
    endpoints = [cluster.endpoints[0] for cluster in clusters.values()]
    assert len(set(endpoints)) == 3
    assert [isinstance(endpoint, LimitedEndpoint) for endpoint in endpoints] == [False, True, False]


def test_limits_and_their_counters_outlive_an_install() -> None:
    it = book()
    it.install_service(service_record(1))
    before = only(it.install(OWNER, [LIMITED]))
    times = configs.ConnectionLimits(max_connections=2, connect_timeout_ms=700)
    after = only(it.install(OWNER, [replace(LIMITED, limits=times)]))
    assert after.limits is before.limits and after.limits is not None
    assert after.limits.config == times
    assert after.endpoints == before.endpoints
    assert after.endpoints[0].connect_seconds == 0.7


def test_ejections_outlive_an_install() -> None:
    it = book()
    it.install_service(service_record(1, 2))
    before = only(it.install(OWNER, [service_cluster()]))
    ejected, other = before.endpoints
    for _ in range(5):
        before.note_failure(ejected)
    after = only(it.install(OWNER, [replace(service_cluster(), balancer="RANDOM")]))
    assert after is not before
    assert after.available == (other,)
    # And what is ejected by one of them is known to the other, which requests may hold on to.
    it.install_service(service_record(1, 2, 3, 4))
    for _ in range(5):
        after.note_failure(other)
    assert before.available == after.available == after.endpoints[2:]


def test_the_outlier_detection_of_an_install_holds_from_then_on() -> None:
    it = book()
    it.install_service(service_record(1, 2))
    strict = replace(service_cluster(), outlier=configs.Outlier(consecutive_5xx=9))
    before = only(it.install(OWNER, [strict]))
    stricter = replace(strict, outlier=configs.Outlier(consecutive_5xx=1))
    after = only(it.install(OWNER, [stricter]))
    assert after.endpoints == before.endpoints
    after.note_answer(after.endpoints[0], 500)
    assert after.available == after.endpoints[1:]


DISABLED = configs.PeerMode((), 0, "DISABLE")


def asked_for(cluster: configs.Cluster, **labels: str) -> Security:
    workload = service_record(1).workloads[0].model_copy(update={"labels": labels})
    return security_of(cluster, workload)


def test_a_workload_that_asks_for_plain_is_spoken_to_in_plain() -> None:
    modes = (
        configs.PeerMode((("app", "legacy"),), 9080, "DISABLE"),
        configs.PeerMode((("app", "legacy"),), 0, "STRICT"),
        configs.PeerMode((("app", "old"),), 0, "DISABLE"),
    )
    cluster = replace(service_cluster(), peer_modes=modes)
    assert asked_for(cluster) == "mutual"
    assert asked_for(cluster, app="legacy") == "plain"
    assert asked_for(replace(cluster, port=1), app="legacy") == "mutual"
    assert asked_for(replace(cluster, port=1), app="old") == "plain"


def test_a_destination_rule_counts_before_what_workloads_ask() -> None:
    cluster = replace(service_cluster(), peer_modes=(DISABLED,))
    tls = configs.UpstreamTls("SIMPLE")
    assert asked_for(replace(cluster, tls_written=True)) == "mutual"
    assert asked_for(replace(service_cluster(), tls="DISABLE", tls_written=True)) == "plain"
    assert asked_for(replace(cluster, tls="SIMPLE", upstream_tls=tls)) == tls


def test_what_is_for_peers_is_sent_only_where_all_endpoints_are_mutual() -> None:
    it = book()
    it.install_service(service_record(1, 2))
    for modes, mutual in (
        ((), True),
        ((DISABLED,), False),
        ((replace(DISABLED, labels=(("version", "v1"),)),), False),
        ((replace(DISABLED, labels=(("version", "v9"),)),), True),
    ):
        cluster = only(it.install(OWNER, [replace(service_cluster(), peer_modes=modes)]))
        assert cluster.mutual is mutual
        assert all(bool(endpoint.accounts) is mutual for endpoint in cluster.endpoints[:1])


def test_an_https_port_without_origination_takes_no_request_and_says_what_is_missing() -> None:
    config = replace(static_cluster(1), port=443, protocol="https")
    cluster = only(book().install(OWNER, [config]))
    assert cluster.endpoints == ()
    assert cluster.refusal.name == "upstream_needs_tls"
    assert "DestinationRule for up.local" in cluster.refusal.sentence
    tls = configs.UpstreamTls("SIMPLE")
    config = replace(config, tls="SIMPLE", upstream_tls=tls)
    assert ports(only(book().install(OWNER, [config]))) == [1]
