"""How the proxies are shared among collectors: each proxy is of one of `SHARDS` shards. Pure.

A shard is at one collector at a time, with all that its proxies ever counted (shard.py); which one
it shall be follows from the members of pool `collectors` alone, so that nobody has to be asked.
"""

from collections.abc import Sequence
from typing import Final
from zlib import crc32

SHARDS: Final = 8
"""So many collectors there are at most."""
NAMES: Final = tuple(map(str, range(SHARDS)))


def shard_of(proxy: str) -> str:
    """The shard of a proxy, the same for ever: it is in the subject of its figures."""
    return NAMES[crc32(proxy.encode()) % SHARDS]


def share_of(member: str, members: Sequence[str]) -> frozenset[str]:
    """The shards that `member` shall have; none when it is not among `members`."""
    if member not in members:
        return frozenset()
    return frozenset(NAMES[members.index(member) :: len(members)])
