"""Checks of host names and authorities, for every kind that has them."""

import re
from collections.abc import Iterable, Iterator
from typing import Final

from tulle.policies import hostnames
from tulle.policies.parse import Document
from tulle.policies.problems import Path, Problem

HOST_RULE: Final = "must be a DNS name, an IPv4 address, * or *.suffix"

_AUTHORITY = re.compile(r"(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")


def check_hosts(document: Document, path: Path, hosts: Iterable[str]) -> Iterator[Problem]:
    """Each is a host, and given once."""
    seen: set[str] = set()
    for position, host in enumerate(hosts):
        if not hostnames.is_host(host):
            yield document.problem("schema", (*path, position), HOST_RULE)
        elif host.lower() in seen:
            yield document.problem("duplicate", (*path, position), f"{host} is given twice")
        seen.add(host.lower())


def check_authority(document: Document, path: Path, authority: str) -> Iterator[Problem]:
    """It may be sent as Host: a name or address, and a port."""
    if not _AUTHORITY.fullmatch(authority):
        message = "must be a host, like reviews or reviews:9080 or [::1]:9080"
        yield document.problem("schema", path, message)
