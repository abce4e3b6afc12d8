"""What bucket `config` holds, as its one writer knows it, and what a compilation changes in it.

Pure. Only keys whose bytes change are written; `publisher.py` writes them.
"""

from collections.abc import Iterable, Mapping

from tulle.bus import codec, keys
from tulle.bus.store import Change, Entry, Operation
from tulle.policies import config as configs
from tulle.policies.config import Config

SLICE = 900
"""Changes in one commit at most (the store takes 1,000, with the fence)."""


class Published:
    """The bucket's keys with their bytes and revisions."""

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        """`entries`: what the bucket holds now."""
        self._entries = {entry.key: entry for entry in entries if is_config(entry.key)}
        self._encoded: dict[str, tuple[Config, bytes]] = {}

    @property
    def newest(self) -> dict[str, int]:
        """Revision by key."""
        return {key: entry.revision for key, entry in self._entries.items()}

    def changes(self, compiled: Mapping[tuple[str, ...], Config]) -> list[Change]:
        """What makes the bucket hold exactly `compiled`: hosts' configs first, their index last.

        Each config is complete in itself, so a proxy that sees half of it has nothing half.
        """
        wanted = {key_of(parts): self._encode(parts, it) for parts, it in compiled.items()}
        self._encoded = {key: self._encoded[key] for key in wanted}
        puts = [
            Change(key, value)
            for key, value in sorted(wanted.items())
            if key not in self._entries or self._entries[key].value != value
        ]
        gone = [
            Change(key, operation=Operation.DELETE)
            for key in sorted(self._entries)
            if key not in wanted
        ]
        return sorted([*puts, *gone], key=_order)

    def on_committed(self, changes: list[Change], last: int) -> dict[str, int]:
        """`changes` were stored, the last at revision `last`: revision by key."""
        first = last - len(changes) + 1
        revisions = {change.key: first + place for place, change in enumerate(changes)}
        for change in changes:
            if change.operation is Operation.DELETE:
                self._entries.pop(change.key, None)
            else:
                self._entries[change.key] = Entry(change.key, change.value, revisions[change.key])
        return revisions

    def _encode(self, parts: tuple[str, ...], config: Config) -> bytes:
        key = key_of(parts)
        before = self._encoded.get(key)
        if before is None or before[0] is not config:
            before = self._encoded[key] = (config, codec.pack(configs.encode(config)))
        return before[1]


def key_of(parts: tuple[str, ...]) -> str:
    """`("outbound", host)` as a key of the bucket."""
    return str(keys.Key(keys.KeyKind(parts[0]), parts[1:]))


def is_config(key: str) -> bool:
    """Whether it is a compiled config, not the leader key or the epoch."""
    return keys.parse_key(key).kind not in (keys.KeyKind.LEADER, keys.KeyKind.EPOCH)


def _order(change: Change) -> tuple[int, str]:
    """Before the index: new configs. After it: what it does not name any more."""
    if change.operation is Operation.DELETE:
        return (2, change.key)
    return (1 if change.key == keys.HOSTS else 0, change.key)
