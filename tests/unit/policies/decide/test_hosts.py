"""Which host a client means."""

import pytest

from tulle.policies.config import HostEntry, HostsConfig
from tulle.policies.decide.hosts import HostIndex

NAMES = [
    ("a.default.svc.cluster.local", "default"),
    ("a.shop.svc.cluster.local", "shop"),
    ("b.shop.svc.cluster.local", "shop"),
    ("api.example", "default"),
    ("*.example", "default"),
    ("*.x.example", "default"),
    ("a.shop", "default"),
]
CONFIG = HostsConfig(tuple(HostEntry(host, namespace, host) for host, namespace in sorted(NAMES)))


@pytest.mark.parametrize(
    ("namespace", "host", "found"),
    [
        ("default", "a", "a.default.svc.cluster.local"),
        ("shop", "a", "a.shop.svc.cluster.local"),
        ("default", "b", None),
        ("default", "b.shop", "b.shop.svc.cluster.local"),
        ("default", "b.shop.svc", "b.shop.svc.cluster.local"),
        ("default", "b.shop.svc.cluster.local", "b.shop.svc.cluster.local"),
        ("default", "a.shop", "a.shop"),  # written so in the config: that comes first
        ("default", "api.example", "api.example"),
        ("default", "x.example", "*.example"),
        ("default", "y.x.example", "*.x.example"),
        ("default", "example", None),
        ("default", "nowhere.org", None),
        ("other", "a", None),
    ],
)
def test_names_short_and_long(namespace: str, host: str, found: str | None) -> None:
    index = HostIndex(CONFIG, namespace)
    for _ in range(2):  # the second time it is remembered
        entry = index.find(host)
        assert (entry.host if entry else None) == found


def test_what_is_remembered_is_bounded() -> None:
    index = HostIndex(CONFIG, "default")
    for number in range(10_000):
        index.find(f"{number}.org")
    assert len(index._remembered) <= 4096
