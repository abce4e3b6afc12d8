"""Authorities: what may be sent as Host or stand in a location."""

import re
from collections.abc import Iterator

from tulle.policies.parse import Document
from tulle.policies.problems import Path, Problem

_AUTHORITY = re.compile(r"(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")


def check_authority(document: Document, path: Path, authority: str) -> Iterator[Problem]:
    """It may be sent as Host: a name or address, and a port."""
    if not _AUTHORITY.fullmatch(authority):
        message = "must be a host, like reviews or reviews:9080 or [::1]:9080"
        yield document.problem("schema", path, message)
