"""What `tulle status` shows of proxies: who is current, and who is there at all."""

from tulle.actors.evaluator.proxies import GONE_AFTER, ProxyTable
from tulle.bus.messages import ProxyStatus, ServiceRecord, Workload


def status(proxy: str, holds: dict[str, int], epoch: str = "e") -> ProxyStatus:
    return ProxyStatus(id=proxy, role="sidecar", state="ready", epoch=epoch, holds=holds)


def table(*statuses: ProxyStatus) -> ProxyTable:
    proxies = ProxyTable()
    for one in statuses:
        proxies.on_status(one, 0.0)
    return proxies


def service(*workloads: str) -> ServiceRecord:
    members = [
        Workload(id=id, account="reviews", node="n", address="127.0.0.1") for id in workloads
    ]
    return ServiceRecord(namespace="default", name="reviews", workloads=members)


def shown(proxies: ProxyTable) -> list[str]:
    return [report.id for report in proxies.reports({}, "e", 0.0)]


def test_current_is_who_has_the_newest_of_all_that_it_holds() -> None:
    proxies = table(
        status("all", {"config/hosts": 5, "config/outbound.a": 7}),
        status("behind", {"config/hosts": 5, "config/outbound.a": 6}),
        status("ahead", {"config/hosts": 6}),
        status("without-what-changed", {"config/hosts": 5}),
        status("vanished", {"config/hosts": 5, "config/outbound.gone": 3}),
        status("other-epoch", {"config/hosts": 9}, epoch="f"),
        status("services", {"registry/service.default.a": 9}),
        status("new", {}),
    )
    newest = {"hosts": 5, "outbound.a": 7}
    assert {report.id: report.current for report in proxies.reports(newest, "e", 1.0)} == {
        "all": True,
        "behind": False,
        "ahead": True,
        "without-what-changed": True,
        "vanished": True,
        "other-epoch": False,
        "services": None,
        "new": None,
    }


def test_nobody_is_known_to_be_current_before_anything_is_published() -> None:
    (report,) = table(status("p", {"config/hosts": 5})).reports({}, "e", 1.0)

    assert (report.current, report.seconds_since_report) == (None, 1.0)


def test_a_sidecar_whose_workload_left_the_registry_has_ended() -> None:
    proxies = table()
    proxies.on_service(service("reviews-a", "reviews-b"), 0.0)
    for one in ("ingress-a", "reviews-a", "reviews-b"):
        proxies.on_status(status(one, {"config/hosts": 4}), 0.0)
    proxies.on_service(service("reviews-b"), 1.0)

    assert shown(proxies) == ["ingress-a", "reviews-b"]
    assert proxies.pending({"hosts": 5}, "e") == ["ingress-a", "reviews-b"]

    proxies.on_status(status("reviews-a", {"config/hosts": 4}), 1.1)  # its last words
    assert "reviews-a" not in shown(proxies)
    proxies.on_time(1.0 + GONE_AFTER)
    proxies.on_status(status("reviews-a", {"config/hosts": 4}), 2.0 + GONE_AFTER)
    assert shown(proxies) == ["reviews-a"]  # it goes on, whyever: that must be seen


def test_a_workload_that_comes_back_is_seen_again() -> None:
    proxies = table()
    for at, present in enumerate((["reviews-a"], [], ["reviews-a"])):
        proxies.on_service(service(*present), at)
    proxies.on_status(status("reviews-a", {"config/hosts": 4}), 3.0)

    assert shown(proxies) == ["reviews-a"]


def test_a_next_life_waits_for_those_whom_the_last_one_heard() -> None:
    before = table(status("p", {"config/hosts": 5}), status("reviews-a", {}))
    before.on_service(service("reviews-a"), 0.0)
    before.on_service(service(), 0.0)
    after = before.successor(now=GONE_AFTER)
    after.on_time(GONE_AFTER + 1.0)

    assert shown(after) == ["p"]
    assert after.pending({"hosts": 1}, "next epoch") == ["p"]
    after.on_time(2 * GONE_AFTER)
    assert shown(after) == []


def test_who_could_not_be_heard_has_not_ended() -> None:
    proxies = table(status("a", {"config/hosts": 1}))
    # NATS was away for a minute: `on_time` was not called meanwhile.
    proxies.on_return(60.0)
    proxies.on_time(60.0 + GONE_AFTER - 0.1)
    assert proxies.pending({"hosts": 2}, "e") == ["a"], "a wait waits for it"
    proxies.on_time(60.0 + GONE_AFTER)
    assert proxies.pending({"hosts": 2}, "e") == []
