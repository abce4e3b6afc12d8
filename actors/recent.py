"""Which keys of a bucket changed lately, for the heartbeat by which proxies find what they lack.

Pure. A proxy that hears one heartbeat in `SECONDS` misses no change.
"""

from collections.abc import Mapping

SECONDS = 15.0


class RecentChanges:
    """Keys with revision and time of their last change."""

    def __init__(self) -> None:
        self._changed: dict[str, tuple[int, float]] = {}  # in the order of their times

    def add(self, revisions: Mapping[str, int], now: float) -> None:
        """These keys were committed at `now`, in monotonic seconds."""
        for key, revision in revisions.items():
            self._changed.pop(key, None)
            self._changed[key] = (revision, now)

    def newest(self, now: float) -> dict[str, int]:
        """Key -> revision of what changed in the last `SECONDS`; forgets the rest."""
        for key, (_, when) in list(self._changed.items()):
            if when > now - SECONDS:
                break
            del self._changed[key]
        return {key: revision for key, (revision, _) in self._changed.items()}
