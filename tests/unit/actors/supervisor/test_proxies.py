"""What proxies report: who lacks a change, who serves."""

from tulle.actors.supervisor.proxies import GONE_AFTER_SECONDS, Proxies
from tulle.bus.messages import ProxyStatus

KEY = "service.default.reviews"


def holding(id: str, revision: int, **fields: float) -> ProxyStatus:
    return ProxyStatus.model_validate(
        {"id": id, "role": "sidecar", "holds": {f"registry/{KEY}": revision}, **fields}
    )


def gateway(state: str, *listening: str) -> ProxyStatus:
    fields = {"id": "g", "role": "gateway", "state": state, "listening": list(listening)}
    return ProxyStatus.model_validate(fields)


def test_those_who_hold_an_older_revision_lack_it() -> None:
    proxies = Proxies()
    for status in (holding("old", 4), holding("new", 5), ProxyStatus(id="other", role="sidecar")):
        proxies.heard(status, 0.0)
    assert proxies.lacking(KEY, 5) == ["old"]


def test_nobody_waits_for_who_is_gone() -> None:
    proxies = Proxies()
    proxies.heard(holding("old", 4), 0.0)
    proxies.expire(GONE_AFTER_SECONDS)
    assert proxies.lacking(KEY, 5) == []


def test_a_report_of_an_earlier_life_is_ignored() -> None:
    proxies = Proxies()
    proxies.heard(holding("a", 5, started=20.0), 0.0)
    proxies.heard(holding("a", 4, started=10.0), 0.1)
    assert proxies.lacking(KEY, 5) == []


def test_a_gateway_serves_when_it_is_ready_and_listens() -> None:
    proxies = Proxies()
    assert not proxies.serves("g")
    for status in (gateway("ready"), gateway("starting", "gateway:80 127.0.0.1:8080")):
        proxies.heard(status, 0.0)
        assert not proxies.serves("g")
    proxies.heard(gateway("ready", "gateway:80 127.0.0.1:8080"), 0.0)
    assert proxies.serves("g")
    proxies.forget("g")
    assert not proxies.serves("g")
