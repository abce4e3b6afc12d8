"""Which collector has which proxies: all of them are somewhere, nobody is twice."""

from hypothesis import given
from hypothesis import strategies as st

from tulle.actors.telemetry.shards import NAMES, SHARDS, shard_of, share_of

MEMBERS = [f"collector-{number}" for number in range(1, SHARDS + 1)]


@given(st.text(min_size=1))
def test_a_proxy_is_of_one_shard_for_ever(proxy: str) -> None:
    assert shard_of(proxy) in NAMES
    assert shard_of(proxy) == shard_of(proxy)


def test_proxies_spread_over_all_shards() -> None:
    assert {shard_of(f"reviews-v1-{number}") for number in range(100)} == set(NAMES)


@given(st.lists(st.sampled_from(MEMBERS), unique=True, min_size=1))
def test_each_shard_has_one_collector_and_shares_are_even(members: list[str]) -> None:
    shares = [share_of(member, members) for member in members]
    assert sorted(name for share in shares for name in share) == sorted(NAMES)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_who_is_no_member_has_nothing() -> None:
    assert share_of("collector-2", ["collector-1"]) == frozenset()
