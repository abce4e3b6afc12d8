"""Requests become commits: documents first, then the log, expected where they were seen."""

import pytest

from tests.support.evaluating import Evaluating, stored_keys
from tests.support.policies_api import GATEWAY, virtual_service
from tulle.actors.evaluator import records
from tulle.actors.evaluator.commit import Author, commit_of
from tulle.actors.evaluator.records import LogRecord
from tulle.actors.evaluator.requests import check_apply, check_delete, select
from tulle.bus import codec
from tulle.bus.errors import Conflict
from tulle.bus.messages import ApplyRequest, DeleteRequest, GetRequest, PolicyFile, PolicyName
from tulle.bus.store import Operation

REVIEWS = virtual_service("reviews", "destination: {host: reviews}")
NAME = PolicyName(kind="VirtualService", name="reviews")


def test_the_log_is_the_last_message() -> None:
    changes = Evaluating().commit(GATEWAY + REVIEWS)
    assert stored_keys(changes) == [
        "doc.Gateway.default.bookinfo",
        "doc.VirtualService.default.reviews",
        "log.1",
    ]
    assert [change.expected for change in changes] == [0, 0, 0]


@pytest.mark.asyncio
async def test_the_log_says_before_and_after() -> None:
    it = Evaluating()
    await it.apply(GATEWAY, "1")
    changes = it.commit(GATEWAY.replace("80", "81"), "2")
    record = codec.decode(LogRecord, changes[-1].value)
    assert changes[-1].key == "log.2" and record.id == "2"
    [change] = record.changes
    assert "80" in str(change.before) and "81" in str(change.after)


@pytest.mark.asyncio
async def test_the_log_keeps_the_newest_commits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "KEPT_LOGS", 3)
    it = Evaluating()
    for number in range(8):
        revision = await it.apply(GATEWAY.replace("80", str(8000 + number)), str(number))
    entries = sorted(await it.store.get_all("log"), key=lambda entry: entry.revision)
    kept = [codec.decode(LogRecord, entry.value).id for entry in entries]
    assert kept == ["5", "6", "7"] and entries[-1].revision == revision
    follower = Evaluating()
    follower.store = it.store
    await follower.follow()
    assert follower.picture.revision == revision
    assert follower.picture.answered("5") and not follower.picture.answered("4")
    assert await follower.apply(GATEWAY, "8") > revision, "it goes on where others were"
    assert len(await it.store.get_all("log")) == 3


@pytest.mark.asyncio
async def test_a_commit_planned_on_an_older_picture_is_refused() -> None:
    it = Evaluating()
    await it.apply(GATEWAY, "1")
    stale = it.commit(GATEWAY.replace("80", "82"), "3")
    await it.apply(GATEWAY.replace("80", "81"), "2")
    with pytest.raises(Conflict):
        await it.store.put_all(stale)


@pytest.mark.asyncio
async def test_what_is_there_already_is_no_change() -> None:
    it = Evaluating()
    await it.apply(GATEWAY)
    checked = it.check(GATEWAY + REVIEWS)
    assert checked.lines == (
        "created VirtualService default/reviews",
        "unchanged Gateway default/bookinfo",
    )


@pytest.mark.asyncio
async def test_deleting_and_making_again() -> None:
    it = Evaluating()
    await it.apply(REVIEWS, "1")
    checked = check_delete(DeleteRequest(id="2", names=[NAME]), it.picture.world)
    author = Author("2", "evaluator-1", 1.0)
    changes = commit_of(it.picture, checked.changes, checked.lines, (), author)
    assert changes[0].operation is Operation.DELETE
    await it.store.put_all(changes)
    await it.follow()
    assert not it.picture.world.policies
    again = await it.apply(REVIEWS, "3")
    assert [policy.created for policy in it.picture.world.policies] == [again]


def test_names_that_are_not_there_are_said() -> None:
    world = Evaluating().picture.world
    names = [NAME, PolicyName(kind="Gatway", name="a")]
    checked = check_delete(DeleteRequest(id="1", names=names), world)
    assert checked.refused and checked.changes == ()
    assert {problem.code for problem in checked.problems} == {"no-such-policy", "unknown-kind"}


def test_nothing_given_is_an_error() -> None:
    world = Evaluating().picture.world
    request = ApplyRequest(id="1", files=[PolicyFile(name="empty.yaml", text="# nothing\n")])
    assert [p.code for p in check_apply(request, world, 1).problems] == ["nothing-given"]
    assert check_delete(DeleteRequest(id="1"), world).refused


@pytest.mark.asyncio
async def test_a_selection_by_kind_namespace_and_name() -> None:
    it = Evaluating()
    await it.apply(GATEWAY + REVIEWS)

    def names(**fields: str) -> list[str]:
        return [record.name for record in select(it.picture.world, GetRequest(id="1", **fields))]

    assert names() == ["bookinfo", "reviews"]
    assert names(kind="Gateway") == ["bookinfo"]
    assert names(name="reviews") == ["reviews"]
    assert names(namespace="other") == []
