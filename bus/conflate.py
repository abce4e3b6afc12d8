"""What a watch has received and its reader has not read yet: the newest entry of each key.

A reader that is slow costs memory for as many entries as there are keys, never more. Both stores
fill it; the reader iterates over it.
"""

import asyncio

from tulle.bus.store import Entry, Ready


class Conflated:
    """An async iterator: initial entries, `Ready`, then later ones in the order of revisions."""

    def __init__(self) -> None:
        self._initial: dict[str, Entry] = {}
        self._later: dict[str, Entry] = {}
        self._complete = False  # all initial entries were received
        self._announced = False  # Ready was read
        self._revision = 0
        self._failure: Exception | None = None
        self._changed = asyncio.Event()

    def put(self, entry: Entry) -> None:
        """Takes an entry; revisions must rise from call to call."""
        if not self._complete or (not self._announced and entry.key in self._initial):
            # In its place: a key that exists must be read before Ready, whatever else happens.
            self._initial[entry.key] = entry
        else:
            self._later.pop(entry.key, None)
            self._later[entry.key] = entry
        self._changed.set()

    def complete(self) -> None:
        """All that was there at the start has been put; later calls do nothing."""
        self._complete = True
        self._changed.set()

    def fail(self, error: Exception) -> None:
        """Ends the iteration with `error`, at once."""
        self._failure = error
        self._changed.set()

    def __aiter__(self) -> "Conflated":
        return self

    async def __anext__(self) -> Entry | Ready:
        while True:
            if self._failure is not None:
                raise self._failure
            if (item := self._take()) is not None:
                return item
            self._changed.clear()
            await self._changed.wait()

    def _take(self) -> Entry | Ready | None:
        waiting = self._initial or (self._later if self._announced else {})
        if waiting:
            entry = waiting.pop(next(iter(waiting)))
            self._revision = max(self._revision, entry.revision)
            return entry
        if self._complete and not self._announced:
            self._announced = True
            return Ready(self._revision)
        return None
