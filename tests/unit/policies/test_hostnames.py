import pytest
from hypothesis import given
from hypothesis import strategies as st

from tulle.policies.hostnames import (
    HostTable,
    covers,
    intersection,
    is_host,
    qualify,
    specific_first,
)

hosts = st.sampled_from(
    ["*", "*.com", "*.example.com", "*.a.example.com", "example.com", "a.example.com", "b.com"]
)


@pytest.mark.parametrize(
    "host",
    "reviews reviews.default A.Example.COM * *.example.com *-dev.example.com 10.1.2.3 a_b".split(),
)
def test_valid_hosts(host: str) -> None:
    assert is_host(host)


@pytest.mark.parametrize(
    "host",
    [*". a..b -a a* a.*.com ** *com a/b a:80 é.com http://a".split(), "", "a b", "a\n", "x" * 64],
)
def test_invalid_hosts(host: str) -> None:
    assert not is_host(host)


def test_a_wildcard_stands_for_one_label_or_more() -> None:
    assert covers("*.example.com", "a.example.com")
    assert covers("*.example.com", "a.b.example.com")
    assert covers("*.example.com", "*.b.example.com")
    assert not covers("*.example.com", "example.com")
    assert not covers("*.example.com", ".example.com")
    assert not covers("a.example.com", "*.example.com")


@given(hosts, hosts)
def test_the_intersection_is_the_more_specific_of_the_two(one: str, other: str) -> None:
    both = intersection(one, other)
    assert both == intersection(other, one)
    if both is not None:
        assert both in (one, other)
        assert covers(one, both) and covers(other, both)


@given(st.dictionaries(hosts, st.integers()), hosts)
def test_a_table_finds_the_most_specific_host_that_covers(
    values: dict[str, int], host: str
) -> None:
    covering = sorted((key for key in values if covers(key, host)), key=specific_first)
    assert HostTable(values).find(host) == (values[covering[0]] if covering else None)


@pytest.mark.parametrize(
    ("host", "full"),
    [
        ("reviews", "reviews.shop.svc.cluster.local"),
        ("Reviews", "reviews.shop.svc.cluster.local"),
        ("reviews.default.svc", "reviews.default.svc.cluster.local"),
        ("reviews.default.svc.cluster.local", "reviews.default.svc.cluster.local"),
        ("reviews.default", "reviews.default"),
        ("example.com", "example.com"),
        ("*", "*"),
        ("*.svc", "*.svc"),
    ],
)
def test_short_names_are_completed_by_the_policys_namespace(host: str, full: str) -> None:
    assert qualify(host, "shop", "svc.cluster.local") == full
