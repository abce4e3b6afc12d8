"""What an evaluator knows, from the entries that it follows."""

import pytest

from tests.support.evaluating import Evaluating
from tests.support.policies_api import GATEWAY, service, virtual_service
from tulle.bus import codec, keys
from tulle.bus.messages import Workload
from tulle.bus.store import Entry, Operation

REVIEWS = virtual_service("reviews", "destination: {host: reviews}")


@pytest.mark.asyncio
async def test_all_documents_of_a_commit_share_its_revision() -> None:
    it = Evaluating()
    revision = await it.apply(GATEWAY + REVIEWS)
    assert it.picture.revision == revision
    assert {policy.created for policy in it.picture.world.policies} == {revision}


@pytest.mark.asyncio
async def test_a_change_keeps_the_creation_revision_across_a_new_picture() -> None:
    it = Evaluating()
    first = await it.apply(GATEWAY + REVIEWS, "1")
    await it.apply(GATEWAY.replace("80", "81"), "2")
    follower = Evaluating()
    follower.store = it.store
    await follower.follow()
    assert {policy.created for policy in follower.picture.world.policies} == {first}
    assert follower.picture.world == it.picture.world


@pytest.mark.asyncio
async def test_a_commit_is_visible_as_a_whole() -> None:
    it = Evaluating()
    *documents, log = it.commit(GATEWAY + REVIEWS)
    for number, change in enumerate(documents, start=1):
        it.picture.on_policies(Entry(change.key, change.value, number))
    assert it.picture.world.policies == () and it.picture.revision == 0
    it.picture.on_policies(Entry(log.key, log.value, 3))
    assert len(it.picture.world.policies) == 2 and it.picture.revision == 3


@pytest.mark.asyncio
async def test_a_request_is_remembered_with_its_answer() -> None:
    it = Evaluating()
    revision = await it.apply(GATEWAY, "mine")
    record, number = it.picture.answered("mine") or (None, 0)
    assert record is not None and number == revision
    assert record.lines == ("created Gateway default/bookinfo",)
    assert it.picture.answered("other") is None


@pytest.mark.asyncio
async def test_what_can_not_be_read_is_said_and_has_no_effect() -> None:
    it = Evaluating()
    key = keys.document("Gateway", "default", "new")
    value = b'{"v":1,"data":{"apiVersion":"networking.istio.io/v1","kind":"Gateway"}}'
    it.picture.on_policies(Entry(key, value, 1))
    it.picture.flush()
    assert it.picture.world.policies == ()
    assert key in it.picture.unreadable[0]
    it.picture.on_policies(Entry(key, b"", 2, Operation.DELETE))
    it.picture.flush()
    assert it.picture.unreadable == []


def test_workloads_come_and_go_without_a_new_world() -> None:
    it = Evaluating()
    it.register("reviews")
    world = it.picture.world
    workload = Workload(id="a", account="reviews", address="127.0.0.1", state="ready")
    key = keys.service("default", "reviews")
    it.picture.on_registry(Entry(key, codec.encode(service("reviews", workload)), 9))
    assert it.picture.world is world
    it.picture.on_registry(Entry(key, codec.encode(service("reviews", port=81)), 10))
    assert it.picture.world is not world


def test_a_deleted_service_is_gone() -> None:
    it = Evaluating()
    it.register("reviews")
    it.picture.on_registry(Entry(keys.service("default", "reviews"), b"", 9, Operation.DELETE))
    assert it.picture.world.services == ()
