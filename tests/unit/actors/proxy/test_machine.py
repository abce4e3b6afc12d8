"""What a proxy holds and installs, as scripts of events, and against a store that misbehaves."""

from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.support.proxy_world import (
    ProxyWorld,
    cluster,
    config_ref,
    credential_ref,
    gateway_config,
    gateway_spec,
    host,
    hosts_config,
    new_world,
    outbound_config,
    service_ref,
    sidecar_spec,
)
from tulle.actors.proxy.events import Changed, Heard, Ref, Reported
from tulle.bus import keys
from tulle.bus.keeping import CredentialRecord
from tulle.bus.messages import Heartbeat, ServiceRecord
from tulle.bus.subjects import Bucket
from tulle.policies.config import InboundConfig, UpstreamTls

HOSTS = Ref(Bucket.CONFIG, keys.HOSTS)
REVIEWS = config_ref(outbound_config("reviews"))
GATEWAY = config_ref(gateway_config())


@pytest.fixture
def world() -> ProxyWorld:
    """A connected sidecar in a mesh with `reviews` and `ratings`."""
    world = new_world(sidecar_spec())
    world.put_service("reviews", "reviews")
    world.put_service("ratings", "ratings")
    world.put(hosts_config("reviews", "ratings"))
    world.put(InboundConfig("default"))
    world.put(outbound_config("reviews", "reviews"))
    world.put(outbound_config("ratings", "ratings"))
    world.connect()
    return world


def test_a_sidecar_holds_the_index_and_two_inbound_configs_before_it_listens() -> None:
    world = new_world(sidecar_spec())
    assert not world.machine.has_first_keys()
    world.put(hosts_config("reviews"))
    world.connect()
    assert world.machine.has_first_keys()
    assert world.subscribed == {
        HOSTS,
        config_ref(InboundConfig("default")),
        config_ref(InboundConfig("istio-system")),
    }
    assert world.plane == {HOSTS: hosts_config("reviews")}


def test_a_gateway_holds_its_pool_and_the_services_that_its_routes_name() -> None:
    world = new_world(gateway_spec())
    world.put_service("reviews", "reviews")
    world.put(gateway_config("reviews"))
    world.connect()
    root = config_ref(InboundConfig("istio-system"))
    assert world.subscribed == {HOSTS, GATEWAY, root, service_ref("reviews")}
    assert set(world.plane) == {GATEWAY, service_ref("reviews")}


@pytest.fixture
def gateway() -> ProxyWorld:
    """A connected gateway whose config names the credential `shop`."""
    world = new_world(gateway_spec())
    world.put_credential("shop")
    world.put(gateway_config(credentials=("shop",)))
    world.connect()
    return world


def key_of(world: ProxyWorld, name: str) -> str | None:
    record = world.plane.get(credential_ref(name))
    return record.private_key if isinstance(record, CredentialRecord) else None


def test_a_gateway_has_the_credentials_that_its_config_names_before_it(
    gateway: ProxyWorld,
) -> None:
    assert gateway.installs == [credential_ref("shop"), GATEWAY]
    gateway.put_credential("shop", "OTHER KEY")
    assert key_of(gateway, "shop") == "OTHER KEY"
    gateway.delete(credential_ref("shop"))
    assert key_of(gateway, "shop") is None


def test_a_credential_that_no_config_names_any_more_is_let_go(gateway: ProxyWorld) -> None:
    gateway.put(gateway_config())
    assert key_of(gateway, "shop") is None
    assert credential_ref("shop") not in gateway.subscribed
    gateway.put_credential("shop")
    assert key_of(gateway, "shop") is None


def test_a_credential_of_an_upstream_is_held_by_gateways_alone() -> None:
    tls = UpstreamTls("MUTUAL", credential="client")
    one = replace(cluster("reviews"), tls="MUTUAL", upstream_tls=tls)
    for spec, held in ((gateway_spec(), True), (sidecar_spec(), False)):
        world = new_world(spec)
        world.put(hosts_config("reviews"))
        world.put(replace(gateway_config(), clusters=(one,)))
        world.put(replace(outbound_config("reviews"), clusters=(one,)))
        world.connect()
        world.want("reviews")
        assert (credential_ref("client") in world.subscribed) is held


def test_a_proxy_that_can_not_read_its_policies_does_not_listen() -> None:
    world = new_world(sidecar_spec())
    world.put(hosts_config("reviews"))
    policies = config_ref(InboundConfig("default"))
    world._write(policies, b"from a newer tulle")
    world.connect()
    assert not world.machine.has_first_keys()
    assert any("inbound.default" in problem for problem in world.machine.status().problems)
    world.put(InboundConfig("default"))
    assert world.machine.has_first_keys()
    world._write(policies, b"from a newer tulle")  # the last good value is in use
    assert world.machine.has_first_keys()


def test_a_credential_that_can_not_be_read_holds_back_two_seconds_and_nothing_more() -> None:
    world = new_world(gateway_spec())
    world.put(gateway_config(credentials=("shop",)))
    world.unreadable = {credential_ref("shop")}
    world.connect()
    assert not world.machine.has_first_keys()
    world.advance(2.1)
    assert world.machine.has_first_keys()
    world.heartbeat()
    assert world.machine.revision > 1000
    world.put_credential("shop")
    world.unreadable = set()
    world.advance(5.1)
    assert key_of(world, "shop") == "KEY"


def test_a_lost_change_of_a_credential_is_repaired_without_a_heartbeat(
    gateway: ProxyWorld,
) -> None:
    gateway.losing = True
    gateway.put_credential("shop", "OTHER KEY")
    assert key_of(gateway, "shop") == "KEY"
    gateway.advance(10.1)
    assert key_of(gateway, "shop") == "OTHER KEY"


def test_a_broken_credential_is_a_problem_that_shows_no_secret(gateway: ProxyWorld) -> None:
    shop = credential_ref("shop")
    gateway.tell(Changed(shop, b'{"v":1,"name":"shop","private_key":"SECRET"}', 9, 1))
    (problem,) = gateway.statuses[-1].problems
    assert "credentials/credential.shop" in problem and "tulle credential add shop" in problem
    assert "SECRET" not in problem
    assert key_of(gateway, "shop") == "KEY"


def test_a_host_is_subscribed_and_read_on_first_use(world: ProxyWorld) -> None:
    assert REVIEWS not in world.subscribed
    world.want("reviews")
    assert world.plane[REVIEWS] == outbound_config("reviews", "reviews")
    assert REVIEWS in world.subscribed


def test_a_host_that_the_index_lacks_is_not_read(world: ProxyWorld) -> None:
    reads = len(world.reads)
    world.want("nobody")
    assert len(world.reads) == reads


def test_endpoints_are_there_before_the_route_to_them(world: ProxyWorld) -> None:
    world.want("reviews")
    assert world.installs[-2:] == [service_ref("reviews"), REVIEWS]
    world.put(outbound_config("reviews", "reviews", "ratings"))
    assert world.installs[-2:] == [service_ref("ratings"), REVIEWS]


def test_a_route_waits_two_seconds_for_endpoints_that_can_not_be_read(world: ProxyWorld) -> None:
    world.want("reviews")
    world.failing = True
    changed = outbound_config("reviews", "reviews", "ratings")
    world.put(changed)
    world.advance(1.9)
    assert world.plane[REVIEWS] != changed
    world.advance(0.2)
    assert world.plane[REVIEWS] == changed
    world.failing = False
    world.advance(5)
    assert service_ref("ratings") in world.plane


def test_a_service_that_does_not_exist_does_not_hold_a_route_back(world: ProxyWorld) -> None:
    world.want("reviews")
    changed = outbound_config("reviews", "nobody")
    world.put(changed)
    assert world.plane[REVIEWS] == changed
    assert service_ref("nobody") in world.subscribed
    assert service_ref("reviews") not in world.subscribed


def test_a_vanished_host_is_dropped_with_its_services(world: ProxyWorld) -> None:
    world.want("reviews")
    world.put(hosts_config("ratings"))
    assert REVIEWS not in world.plane
    assert not world.subscribed & {REVIEWS, service_ref("reviews")}


def test_a_deleted_config_stays_in_use_until_the_index_lets_go(world: ProxyWorld) -> None:
    world.want("reviews")
    world.delete(REVIEWS)
    assert REVIEWS in world.plane
    world.put(hosts_config("ratings"))
    assert REVIEWS not in world.plane


def test_a_deleted_service_has_no_endpoints(world: ProxyWorld) -> None:
    world.want("reviews")
    world.delete(service_ref("reviews"))
    assert world.plane[service_ref("reviews")] == ServiceRecord(namespace="default", name="reviews")


def test_a_lost_event_is_repaired_by_the_heartbeat(world: ProxyWorld) -> None:
    world.want("reviews")
    world.losing = True
    revision = world.put(outbound_config("reviews", "ratings"))
    assert world.plane[REVIEWS] == outbound_config("reviews", "reviews")
    world.heartbeat()
    assert world.plane[REVIEWS] == outbound_config("reviews", "ratings")
    assert world.machine.status().holds[str(REVIEWS)] == revision


def test_a_read_from_a_lagging_replica_is_repeated(world: ProxyWorld) -> None:
    world.want("reviews")
    world.losing = world.lagging = True
    world.put(outbound_config("reviews", "ratings"))
    world.heartbeat()
    world.advance(1)
    assert world.plane[REVIEWS] == outbound_config("reviews", "reviews")
    world.catch_up()
    world.advance(2)
    assert world.plane[REVIEWS] == outbound_config("reviews", "ratings")


def test_after_ten_missed_heartbeats_all_is_read(world: ProxyWorld) -> None:
    world.heartbeat(Bucket.REGISTRY)
    world.losing = True
    world.put(hosts_config("reviews"))
    world.advance(9.9)
    assert world.plane[HOSTS] == hosts_config("reviews", "ratings")
    world.advance(0.2)
    assert world.plane[HOSTS] == hosts_config("reviews")


def test_after_a_reconnect_all_is_read(world: ProxyWorld) -> None:
    world.want("reviews")
    world.losing = True
    world.put(hosts_config("reviews"))
    world.put_service("reviews", "other")
    world.connect()
    assert world.plane[HOSTS] == hosts_config("reviews")
    record = world.plane[service_ref("reviews")]
    assert isinstance(record, ServiceRecord) and record.accounts == ["other"]


def test_an_older_event_is_ignored(world: ProxyWorld) -> None:
    world.want("reviews")
    old = world.store[REVIEWS][0]
    world.put(outbound_config("reviews", "ratings"))
    world.tell(Changed(REVIEWS, old, 1, 0))
    assert world.plane[REVIEWS] == outbound_config("reviews", "ratings")


def test_an_event_of_another_history_is_not_taken_but_read(world: ProxyWorld) -> None:
    reads = len(world.reads)
    value = world.store[HOSTS][0]
    world.tell(Changed(HOSTS, value, 900, 0))
    assert world.reads[reads:] == [HOSTS]
    assert world.machine.status().holds[str(HOSTS)] == world.store[HOSTS][1]


def test_a_new_epoch_starts_again_at_low_revisions(world: ProxyWorld) -> None:
    world.want("reviews")
    for _ in range(5):
        world.put(hosts_config("reviews", "ratings"))
    world.heartbeat()
    world.wipe("second")
    world.put(hosts_config("ratings"))
    assert world.plane[HOSTS] == hosts_config("reviews", "ratings"), "an event changes no epoch"
    world.heartbeat()
    assert world.plane[HOSTS] == hosts_config("ratings")
    status = world.machine.status()
    assert (status.epoch, status.holds[str(HOSTS)]) == ("second", 1)


def test_an_emptied_store_takes_nothing_away(world: ProxyWorld) -> None:
    world.want("reviews")
    before = dict(world.plane)
    world.wipe("second")
    world.connect()
    world.heartbeat()
    assert world.plane == before
    assert set(world.machine.status().holds.values()) == {0}


def test_the_own_revision_is_that_of_the_heartbeat_which_lacks_nothing(world: ProxyWorld) -> None:
    world.heartbeat()
    assert world.machine.revision == 1004
    world.losing = world.failing = True
    world.put(hosts_config("reviews"))
    world.heartbeat()
    assert world.machine.revision == 1004
    world.failing = False
    world.advance(0.5)
    assert world.machine.revision == 1005


def test_acks_come_soon_after_an_install_and_every_two_seconds(world: ProxyWorld) -> None:
    world.advance(0.01)
    world.statuses.clear()
    revision = world.put(hosts_config("reviews"))
    world.advance(0.01)
    assert [status.holds["config/hosts"] for status in world.statuses] == [revision]
    world.advance(6)
    assert len(world.statuses) == 4


def test_the_shells_state_is_told_at_once(world: ProxyWorld) -> None:
    world.tell(Reported("ready", ("outbound 127.0.0.1:4000",), ("port 81: in use",)))
    status = world.statuses[-1]
    assert (status.state, status.listening, status.problems) == (
        "ready",
        ["outbound 127.0.0.1:4000"],
        ["port 81: in use"],
    )


def test_what_can_not_be_decoded_leaves_the_last_good_value(world: ProxyWorld) -> None:
    revision = world.store[HOSTS][1]
    world.tell(Changed(HOSTS, b'{"v":9,"spec":{}}', 900, revision))
    assert world.plane[HOSTS] == hosts_config("reviews", "ratings")
    assert "config of version 1 expected" in world.statuses[-1].problems[0]
    assert world.statuses[-1].holds["config/hosts"] == revision


def test_the_config_of_another_key_is_refused(world: ProxyWorld) -> None:
    value = world.store[REVIEWS][0]
    world.tell(Changed(HOSTS, value, 900, world.store[HOSTS][1]))
    assert "holds the config of outbound" in world.statuses[-1].problems[0]


def test_an_old_leaders_heartbeat_does_no_harm(world: ProxyWorld) -> None:
    world.heartbeat()
    before = world.machine.status()
    world.tell(Heard(Heartbeat(bucket="config", epoch="first", leader="x", revision=1, changed={})))
    assert world.machine.status() == before


NAMES = ("a", "b", "c")
_step = st.one_of(
    st.tuples(st.just("index"), st.sets(st.sampled_from(NAMES), min_size=1)),
    st.tuples(st.just("route"), st.sampled_from(NAMES), st.sets(st.sampled_from(NAMES))),
    st.tuples(st.just("service"), st.sampled_from(NAMES), st.sampled_from(NAMES)),
    st.tuples(st.just("want"), st.sampled_from(NAMES)),
    st.tuples(st.just("advance"), st.sampled_from([0.1, 1.0, 3.0, 12.0])),
    st.tuples(st.just("flag"), st.sampled_from(["losing", "lagging", "failing"]), st.booleans()),
    st.tuples(st.sampled_from(["connect", "heartbeat", "wipe"])),
    st.tuples(st.just("gateway"), st.sets(st.sampled_from(NAMES)), st.sets(st.sampled_from(NAMES))),
    st.tuples(st.sampled_from(["credential", "no credential"]), st.sampled_from(NAMES)),
)


# Events before the first epoch is known, of a store that is made anew.
@example(
    steps=[("want", "a"), ("index", {"a"}), ("index", {"a"}), ("wipe",), ("index", {"a"})],
    gateway=False,
)
@example(steps=[("index", {"a"})], gateway=True)
@given(steps=st.lists(_step, max_size=30), gateway=st.booleans())
@settings(max_examples=120, deadline=None)
def test_whatever_happens_the_proxy_ends_with_what_is_stored(
    steps: list[tuple[object, ...]], gateway: bool
) -> None:
    world = new_world(gateway_spec() if gateway else sidecar_spec())
    for number, step in enumerate(steps):
        _take(world, step, number)
    world.losing = world.lagging = world.failing = False
    world.connect()
    for _ in range(12):
        world.heartbeat()
        world.heartbeat(Bucket.REGISTRY)
        world.advance(1)
    assert _missing(world) == []
    assert world.machine.revision >= 1000


def _take(world: ProxyWorld, step: tuple[object, ...], number: int) -> None:
    match step:
        case ("index", names):
            world.put(hosts_config(*names))  # type: ignore[misc]
        case ("route", str(name), services):
            world.put(outbound_config(name, *sorted(services)))  # type: ignore[call-overload]
        case ("service", str(name), str(account)):
            world.put_service(name, account)
        case ("gateway", services, credentials):
            world.put(gateway_config(*sorted(services), credentials=tuple(sorted(credentials))))  # type: ignore[call-overload]
        case ("credential", str(name)):
            world.put_credential(name, f"key {number}")
        case ("no credential", str(name)):
            world.delete(credential_ref(name))
        case ("want", str(name)):
            world.want(name)
        case ("advance", float(seconds)):
            world.advance(seconds)
        case ("flag", str(name), value):
            setattr(world, name, value)
        case ("wipe",):
            world.wipe(f"epoch-{number}")
            world.connect()
        case ("connect",):
            world.connect()
        case ("heartbeat",):
            world.heartbeat()


def _missing(world: ProxyWorld) -> list[str]:
    """What is subscribed and stored, and not in the plane as it is stored."""
    missing = []
    for ref in world.subscribed:
        value, revision = world.store.get(ref, (None, 0))
        if value is not None and world.machine.status().holds.get(str(ref)) != revision:
            missing.append(str(ref))
        if (
            ref.bucket is Bucket.CREDENTIALS
            and revision
            and (value is None) == (ref in world.plane)
        ):
            missing.append(f"{ref} in the plane")
    held = {ref for ref in world.plane if ref.bucket is Bucket.CREDENTIALS}
    return missing + [f"{ref} is not let go" for ref in held - world.subscribed]


def test_the_host_of_a_key_with_dots_is_one_token() -> None:
    assert REVIEWS.key == f"outbound.{keys.encode_token(host('reviews'))}"
