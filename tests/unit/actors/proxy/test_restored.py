"""A proxy that starts while NATS is away: what it has from its own disk, and what it has not."""

from dataclasses import replace

import pytest

from tests.support.proxy_world import (
    ProxyWorld,
    config_ref,
    credential_ref,
    gateway_config,
    gateway_spec,
    hosts_config,
    new_world,
    outbound_config,
    service_ref,
    sidecar_spec,
)
from tulle.actors.proxy.events import Changed, Heard, Ref
from tulle.bus import keys
from tulle.bus.messages import Heartbeat
from tulle.bus.subjects import Bucket
from tulle.policies.config import InboundConfig

HOSTS = Ref(Bucket.CONFIG, keys.HOSTS)
REVIEWS = config_ref(outbound_config("reviews"))
POLICIES = config_ref(InboundConfig("default"))
ROOT = config_ref(InboundConfig("istio-system"))


@pytest.fixture
def world() -> ProxyWorld:
    """A sidecar that has used `reviews`; the root namespace has no policies."""
    world = new_world(sidecar_spec())
    world.put_service("reviews", "reviews")
    world.put_service("ratings", "ratings")
    world.put(hosts_config("reviews", "ratings"))
    world.put(InboundConfig("default"))
    world.put(outbound_config("reviews", "reviews"))
    world.put(outbound_config("ratings", "ratings"))
    world.connect()
    world.want("reviews")
    return world


def test_what_was_in_use_is_in_use_again_and_nothing_was_asked(world: ProxyWorld) -> None:
    before = dict(world.plane)
    world.restart()
    assert world.machine.restored
    assert world.plane == before
    assert world.reads == []
    assert world.subscribed == {HOSTS, POLICIES, ROOT, REVIEWS, service_ref("reviews")}
    assert world.installs.index(service_ref("reviews")) < world.installs.index(REVIEWS)


def test_the_bus_tells_what_changed_meanwhile_and_that_is_installed_alone(
    world: ProxyWorld,
) -> None:
    revision = world.machine.status().holds[str(POLICIES)]
    world.restart()
    assert world.machine.status().holds[str(POLICIES)] == revision
    assert not world.machine.has_first_keys(), "the bus has said nothing yet"
    world.subscribed.clear()  # what follows is an event that it can't hear
    changed = outbound_config("reviews", "reviews", "ratings")
    world.put(changed)
    world.subscribed |= {HOSTS, POLICIES, ROOT, REVIEWS, service_ref("reviews")}
    world.installs.clear()
    world.connect()
    assert world.machine.has_first_keys()
    assert world.plane[REVIEWS] == changed
    assert world.installs == [service_ref("ratings"), REVIEWS]


def test_the_next_life_has_the_newest_and_not_what_is_gone(world: ProxyWorld) -> None:
    world.put(outbound_config("reviews", "ratings"))
    world.put(hosts_config("reviews"))
    world.delete(service_ref("ratings"))
    world.restart()
    assert world.plane[REVIEWS] == outbound_config("reviews", "ratings")
    assert set(world.disk) == {HOSTS, POLICIES, ROOT, REVIEWS}
    world.want("ratings")
    assert set(world.plane) == {HOSTS, POLICIES, REVIEWS}


@pytest.mark.parametrize("lost", [HOSTS, POLICIES, ROOT])
def test_without_one_of_what_is_always_held_it_serves_by_nothing(
    world: ProxyWorld, lost: Ref
) -> None:
    """A lost policy is no absent one: everybody would be let pass."""
    del world.disk[lost]
    world.restart()
    assert not world.machine.restored
    assert world.plane == {}
    world.connect()
    assert world.machine.has_first_keys()


def test_a_lost_route_is_read_on_its_next_use(world: ProxyWorld) -> None:
    del world.disk[REVIEWS]
    world.restart()
    assert world.machine.restored
    assert service_ref("reviews") not in world.subscribed, "nobody needs it"
    assert service_ref("reviews") not in world.disk
    world.want("reviews")
    assert REVIEWS not in world.plane
    world.connect()
    assert world.plane[REVIEWS] == outbound_config("reviews", "reviews")


def test_a_route_that_waits_for_endpoints_is_not_the_last_good_one(world: ProxyWorld) -> None:
    world.failing = True
    world.put(outbound_config("reviews", "ratings"))
    world.restart()
    assert world.plane[REVIEWS] == outbound_config("reviews", "reviews")


def test_what_can_not_be_read_is_not_kept(world: ProxyWorld) -> None:
    world._write(POLICIES, b"from a newer tulle")
    world.restart()
    assert world.machine.restored
    assert POLICIES in world.plane


def test_in_a_new_epoch_what_was_kept_is_used_until_it_is_read(world: ProxyWorld) -> None:
    world.restart()
    world.wipe("second")
    world.put(InboundConfig("default"))
    world.put(hosts_config("reviews"))
    fresh = outbound_config("reviews", "ratings")
    world.failing = True
    world.connect()
    assert world.plane[REVIEWS] == outbound_config("reviews", "reviews")
    world.failing = False
    world.put(fresh)
    world.put_service("ratings")
    world.advance(10)
    assert world.plane[REVIEWS] == fresh
    assert world.machine.status().epoch == "second"


def test_the_number_of_a_file_of_another_epoch_says_nothing(world: ProxyWorld) -> None:
    old = world.disk[service_ref("reviews")]
    world.disk[service_ref("reviews")] = replace(old, epoch="zeroth", revision=999)
    world.restart()
    assert world.machine.status().epoch == "first"
    assert world.machine.status().holds[str(service_ref("reviews"))] == 0
    world.connect()
    assert world.machine.status().holds[str(service_ref("reviews"))] == old.revision


def test_before_the_first_connection_events_say_nothing(world: ProxyWorld) -> None:
    """They may be of another epoch than the restored one."""
    world.restart()
    beat = Heartbeat(bucket="config", epoch="first", leader="e", revision=2000, changed={})
    world.tell(Heard(beat))
    world.tell(Changed(POLICIES, b"whatever", 99, 3))
    assert world.machine.status().problems == []
    assert world.machine.revision == 0, "nothing was read in this life"


def test_what_comes_from_the_bus_first_is_not_overwritten(world: ProxyWorld) -> None:
    old = dict(world.disk)
    world.put(outbound_config("reviews", "ratings"))
    world.disk = old
    world.restart()
    world.connect()
    assert world.plane[REVIEWS] == outbound_config("reviews", "ratings")


def test_a_gateway_has_its_routes_endpoints_and_credentials() -> None:
    world = new_world(gateway_spec())
    world.put_service("reviews", "reviews")
    world.put_credential("shop")
    world.put(gateway_config("reviews", credentials=("shop",)))
    world.connect()
    before = dict(world.plane)
    world.restart()
    assert world.machine.restored
    assert world.plane == before
    assert world.installs[-1] == config_ref(gateway_config())
    world.connect()
    world.delete(credential_ref("shop"))
    assert credential_ref("shop") not in world.disk
    world.restart()
    assert world.machine.restored, "its other names are served"
    assert credential_ref("shop") not in world.plane


def test_a_sidecar_of_another_namespace_has_nothing_of_it(world: ProxyWorld) -> None:
    world.machine.spec = replace(world.machine.spec, namespace="other")
    world.restart()
    assert not world.machine.restored
