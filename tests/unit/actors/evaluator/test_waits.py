"""Who is waited for, and what is said meanwhile."""

from tulle.actors.evaluator.proxies import GONE_AFTER, ProxyTable
from tulle.actors.evaluator.waits import Wait
from tulle.bus.messages import Answer, ProxyStatus, Revision


def status(proxy: str, **fields: object) -> ProxyStatus:
    values: dict[str, object] = {"id": proxy, "role": "gateway", "state": "ready", "epoch": "e"}
    return ProxyStatus.model_validate(values | fields)


def table(*statuses: ProxyStatus) -> ProxyTable:
    proxies = ProxyTable()
    for one in statuses:
        proxies.on_status(one, 0.0)
    return proxies


def test_only_who_holds_a_changed_key_is_waited_for() -> None:
    proxies = table(
        status("old", holds={"config/hosts": 4}),
        status("new", holds={"config/hosts": 5}),
        status("newer", holds={"config/hosts": 6}),
        status("elsewhere", holds={"config/a": 1}),
        status("registry", holds={"registry/hosts": 1}),
        status("leaving", holds={"config/hosts": 4}, state="draining"),
        status("other-epoch", holds={"config/hosts": 9}, epoch="f"),
    )
    assert proxies.pending({"hosts": 5}, "e") == ["old", "other-epoch"]


def test_who_has_ended_is_not_waited_for() -> None:
    proxies = table(status("p", holds={"config/hosts": 4}))
    proxies.on_time(GONE_AFTER - 0.1)
    assert proxies.pending({"hosts": 5}, "e") == ["p"]
    proxies.on_time(GONE_AFTER)
    assert proxies.pending({"hosts": 5}, "e") == []


def test_an_earlier_life_is_ignored() -> None:
    proxies = table(status("p", started=2.0, revision=2), status("p", started=1.0, revision=1))
    assert [report.revision for report in proxies.reports({}, "e", 0.0)] == [2]


def test_a_wait_tells_who_is_pending_once_a_second_until_all_have_it() -> None:
    proxies = table(status("p", holds={"config/hosts": 4}, problems=["port 81: in use"]))
    answer = Answer(id="r", ok=True, revision=Revision(epoch="e", number=9))
    wait = Wait(answer, {"hosts": 5}, "e", deadline=10.0, seconds=10.0)
    first = wait.next_answer(proxies, 0.0)
    assert first is not None and first.pending == ["p"] and not first.done and first.ok
    assert wait.next_answer(proxies, 0.5) is None
    assert wait.next_answer(proxies, 1.1) is not None
    proxies.on_status(status("p", holds={"config/hosts": 5}, problems=["port 81: in use"]), 2.0)
    last = wait.next_answer(proxies, 2.0)
    assert last is not None and last.done and last.ok and last.pending == []
    assert [problem.message for problem in last.problems] == ["p: port 81: in use"]


def test_a_wait_ends_in_time_and_says_that_it_is_committed() -> None:
    proxies = table(status("p", holds={"config/hosts": 4}))
    wait = Wait(Answer(id="r", ok=True), {"hosts": 5}, "e", deadline=3.0, seconds=3.0)
    last = wait.next_answer(proxies, 3.0)
    assert last is not None and last.done and not last.ok and last.pending == ["p"]
    assert last.problems[-1].message.startswith("committed, and not applied within 3 s by p")
