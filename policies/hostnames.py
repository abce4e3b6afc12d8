"""Arithmetic on host names: what is valid, what a wildcard covers, which of two is more specific.

A wildcard begins with `*`: `*`, `*.example.com`. It stands for one label or more, as in Istio.
"""

import re
from collections.abc import Mapping
from typing import Generic, TypeVar

T = TypeVar("T")

_HOST = re.compile(
    r"(?:\*|(?:\*[-.])?[a-z0-9](?:[-a-z0-9_]{0,62})(?:\.[a-z0-9_](?:[-a-z0-9_]{0,62}))*)"
)


def is_host(text: str) -> bool:
    """Whether `text` may be a host of a policy: a name, an IPv4 address, a wildcard."""
    return len(text) <= 253 and _HOST.fullmatch(text.lower()) is not None


def is_wildcard(host: str) -> bool:
    """Whether `host` stands for several."""
    return host.startswith("*")


def covers(pattern: str, host: str) -> bool:
    """Whether every host that `host` stands for is one that `pattern` stands for."""
    if not is_wildcard(pattern):
        return pattern == host
    suffix = pattern[1:]
    if is_wildcard(host):
        return host[1:].endswith(suffix)
    return host.endswith(suffix) and len(host) > len(suffix)


def intersection(one: str, other: str) -> str | None:
    """The more specific of two hosts when one covers the other, else None."""
    if covers(one, other):
        return other
    return one if covers(other, one) else None


def specific_first(host: str) -> tuple[bool, int, str]:
    """A sort key: exact hosts, then wildcards with the longest suffix first."""
    return (is_wildcard(host), -len(host), host)


def qualify(host: str, namespace: str, suffix: str) -> str:
    """The full name of a host as a policy of `namespace` writes it, lower case.

    `reviews` and `reviews.default.svc` become `reviews.default.<suffix>`. Whether `reviews.default`
    is a service or a domain of its own, only the world knows: `resolve.Index.qualify`.
    """
    host = host.lower()
    if is_wildcard(host):
        return host
    labels = host.split(".")
    if len(labels) == 1:
        return f"{host}.{namespace}.{suffix}"
    if len(labels) == 3 and labels[2] == "svc":
        return f"{labels[0]}.{labels[1]}.{suffix}"
    return host


class HostTable(Generic[T]):
    """Values by host: the exact one is found first, then that of the longest wildcard."""

    def __init__(self, values: Mapping[str, T]) -> None:
        self.values = values
        self._wildcards = sorted((h for h in values if is_wildcard(h)), key=specific_first)

    def find(self, host: str) -> T | None:
        """The value of the most specific key that covers `host`; None when none does."""
        exact = self.values.get(host)
        if exact is not None:
            return exact
        return next((self.values[w] for w in self._wildcards if covers(w, host)), None)
