"""Rules that several kinds share: host names, files, what is given twice."""

import ipaddress
import re
from collections.abc import Iterable, Iterator
from typing import Final

from tulle.policies import hostnames
from tulle.policies.parse import Document
from tulle.policies.problems import Path, Problem

SUBSET: Final = re.compile(r"[a-zA-Z0-9](?:[-a-zA-Z0-9]{0,61}[a-zA-Z0-9])?")
HOST_RULE: Final = "must be a DNS name, an IPv4 address, * or *.suffix"


def repeated_hosts(document: Document, path: Path, hosts: Iterable[str]) -> Iterator[Problem]:
    """Hosts that are none, or given twice."""
    seen: set[str] = set()
    for position, host in enumerate(hosts):
        if not hostnames.is_host(host):
            yield document.problem("schema", (*path, position), HOST_RULE)
        elif host.lower() in seen:
            yield document.problem("duplicate", (*path, position), f"{host} is given twice")
        seen.add(host.lower())


def duplicates(
    document: Document, path: Path, field: str, noun: str, names: Iterable[str]
) -> Iterator[Problem]:
    """Items of the list at `path` whose `field` an earlier one has already."""
    seen: dict[str, int] = {}
    for position, name in enumerate(names):
        first = seen.setdefault(name, position)
        if first != position:
            message = f"{noun} {name} is already given by item {first}"
            yield document.problem("duplicate", (*path, position, field), message)


def relative_file(document: Document, path: Path, file: str) -> Iterator[Problem]:
    """A file that each proxy would look for in another folder."""
    if not file.startswith("/"):
        message = f'must be an absolute path on the host of the proxy, not "{file[:80]}"'
        yield document.problem("schema", path, message)


def is_address(text: str) -> bool:
    """Whether `text` is an IP address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
