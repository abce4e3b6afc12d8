"""Sums over proxies: twice is harmless, a new life adds up, what is above the bound is counted."""

from hypothesis import given, settings
from hypothesis import strategies as st

from tulle.actors.telemetry.totals import ENDED_AFTER, Totals, Value
from tulle.bus.messages import Series, TelemetryBatch

A = ("requests", (("code", "200"),))


def batch(
    value: float, *, proxy: str = "p", started: float = 1, code: str = "200"
) -> TelemetryBatch:
    series = Series(name="requests", labels={"code": code}, value=value)
    return TelemetryBatch(proxy=proxy, started=started, series=[series])


def histogram(*buckets: int) -> TelemetryBatch:
    series = Series(name="ms", labels={}, value=float(sum(buckets)), buckets=list(buckets))
    return TelemetryBatch(proxy=str(buckets), started=1, series=[series])


def test_values_are_absolute_and_twice_is_harmless() -> None:
    totals = Totals()
    for value in (3, 5, 5):
        totals.add(batch(value))
    assert dict(totals.sums()) == {A: Value(5)}


def test_each_living_proxys_requests_are_told_apart() -> None:
    totals = Totals()
    for proxy, code, value in (("p", "200", 3), ("p", "503", 1), ("q", "200", 4)):
        series = Series(name="istio_requests_total", labels={"code": code}, value=value)
        totals.add(TelemetryBatch(proxy=proxy, started=1, series=[series]))
    totals.add(histogram(1, 2))
    requests = {dict(labels)["proxy"]: value.value for (_, labels), value in totals.of_proxies()}
    assert requests == {"p": 4, "q": 4, "(1, 2)": 0}


def test_proxies_add_up() -> None:
    totals = Totals()
    totals.add(batch(3, proxy="p"))
    totals.add(batch(4, proxy="q"))
    totals.add(histogram(1, 0, 2))
    totals.add(histogram(0, 1, 1))
    sums = dict(totals.sums())
    assert sums[A] == Value(7)
    assert sums["ms", ()] == Value(5.0, (1, 1, 3))


def test_a_restarted_proxy_starts_at_zero_and_the_sum_does_not() -> None:
    totals = Totals()
    totals.add(batch(10, started=1))
    totals.add(batch(2, started=2))
    assert dict(totals.sums()) == {A: Value(12)}
    totals.add(batch(11, started=1))
    assert dict(totals.sums()) == {A: Value(12)}, "too late"


def test_a_life_ends_by_silence_while_others_are_heard() -> None:
    totals = Totals()
    totals.add(batch(10, proxy="gone"))
    for second in range(0, int(ENDED_AFTER) + 20, 10):
        totals.add(batch(second, proxy="alive"))
        totals.on_time(second)
    assert totals.proxies == 1
    assert dict(totals.sums())[A].value == 10 + ENDED_AFTER + 10


def test_the_silence_of_all_ends_nobody() -> None:
    totals = Totals()
    totals.add(batch(10))
    for second in range(0, 100_000, 1000):
        totals.on_time(second)
    assert totals.proxies == 1


def test_series_are_bounded() -> None:
    totals = Totals(max_series=2)
    for code in ("200", "404", "503"):
        totals.add(batch(1, code=code))
    assert len(dict(totals.sums())) == 2 and totals.refused == 1
    totals.add(batch(9, code="200"))
    assert dict(totals.sums())[A] == Value(9)


@given(
    st.lists(
        st.tuples(st.sampled_from("pq"), st.sampled_from(["restart", "count"]), st.booleans()),
        max_size=60,
    )
)
@settings(max_examples=60)
def test_sums_never_fall_and_end_as_what_was_counted(steps: list[tuple[str, str, bool]]) -> None:
    totals, counted, seen = Totals(), 0, 0.0
    lives = {"p": (1, 0), "q": (1, 0)}
    for proxy, step, lost in steps:
        started, value = lives[proxy]
        if step == "restart":
            totals.add(batch(value, proxy=proxy, started=started))
            lives[proxy] = (started + 1, 0)
            continue
        counted += 1
        lives[proxy] = (started, value + 1)
        if not lost:
            totals.add(batch(value + 1, proxy=proxy, started=started))
        now = dict(totals.sums()).get(A, Value(0)).value
        assert now >= seen
        seen = now
    for proxy, (started, value) in lives.items():
        totals.add(batch(value, proxy=proxy, started=started))
    assert dict(totals.sums())[A].value == counted


def test_an_old_value_that_comes_late_changes_nothing() -> None:
    totals = Totals()
    totals.add(batch(5))
    totals.add(batch(4))
    assert dict(totals.sums()) == {A: Value(5)}


def test_what_is_remembered_is_all_there_is_to_know() -> None:
    before = Totals()
    for started in (1, 2, 3):
        before.add(batch(10, started=started))
    before.add(batch(4, proxy="gone"))
    before.add(histogram(1, 0, 2))
    after = Totals(max_series=5)
    after.restore(before.remember())
    assert list(after.sums()) == list(before.sums())
    after.add(batch(12, started=3))
    assert dict(after.sums())[A] == Value(36), "the living go on where they were"
    after.add(batch(1, proxy="new"))
    after.add(batch(1, proxy="newer"))
    assert after.refused == 1, "what is restored counts against the bound"
