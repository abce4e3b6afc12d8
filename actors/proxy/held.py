"""The keys that a proxy holds: subscribed, then read, then kept newest by events and repairs.

Pure: time is an argument, what is to be done comes back as effects. `machine.py` says which keys
are held and installs their values. A core event can be lost and a direct get can be answered by a
replica that lags, so a key counts as known only when both agree with the leader's heartbeat:

- first use: subscribe, then read, so that nothing falls between the two;
- a heartbeat names a newer revision than the held one: read until at least that one comes;
- reconnected, or no heartbeat for `SILENCE`: read all;
- bucket `credentials` has no heartbeat of its own: it is read every `SILENCE`;
- a new epoch (told by the store or a heartbeat, never by an event): revisions start again, so all
  is read again; values stay in use until their successors come;
- restored from the proxy's disk: known until the first connection, which reads all.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from tulle.actors.proxy.events import (
    Changed,
    Effect,
    Read,
    ReadFailed,
    Ref,
    Subscribe,
    Unsubscribe,
    WasRead,
)
from tulle.bus.subjects import Bucket

SILENCE = 10.0
"""Seconds without a heartbeat after which a proxy reads all that it holds."""
RETRY_FIRST = 0.2
RETRY_LONGEST = 5.0

News = Callable[[Ref, bytes | None, int], None]
"""Told of each newer value: reference, value (None: deleted), revision."""


@dataclass(slots=True)
class Held:
    """One key.

    `revision`: of the newest value received; `wanted`: it must be at least this. `reading`: the
    number of the read under way, 0: none. An answer to an earlier read says nothing any more.
    """

    revision: int = 0
    wanted: int = 0
    is_read: bool = False
    reading: int = 0
    retry_at: float | None = None
    failures: int = 0

    @property
    def known(self) -> bool:
        """Whether the newest value is here, or the key is known not to exist."""
        return self.is_read and self.revision >= self.wanted


class HeldKeys:
    """All keys that a proxy holds."""

    def __init__(self, news: News, effects: list[Effect]) -> None:
        """`effects` is the machine's outbox."""
        self.epoch = ""
        self.connected = False
        self._news = news
        self._effects = effects
        self._held: dict[Ref, Held] = {}
        self._heard: dict[Bucket, float] = {}
        self._reads = 0

    def __contains__(self, ref: Ref) -> bool:
        return ref in self._held

    def __iter__(self) -> Iterator[Ref]:
        return iter(self._held)

    def knows(self, ref: Ref) -> bool:
        """Whether the newest value of `ref` is here, or it is known that there is none."""
        held = self._held.get(ref)
        return held is not None and held.known

    def knows_all(self) -> bool:
        """Whether nothing that is held lacks anything.

        But for credentials: what needs one that can't be read fails by itself, and nothing else.
        """
        return all(
            held.known for ref, held in self._held.items() if ref.bucket is not Bucket.CREDENTIALS
        )

    def hold(self, ref: Ref) -> None:
        """From now on `ref` is held."""
        if ref in self._held:
            return
        self._held[ref] = Held()
        self._effects.append(Subscribe(ref))
        self._read(ref)

    def restore(self, ref: Ref, revision: int) -> None:
        """Before the first connection: `ref` is held, at what the last life had of it."""
        self.hold(ref)
        self._held[ref].revision, self._held[ref].is_read = revision, True

    def drop(self, ref: Ref) -> None:
        """`ref` is held no more."""
        if self._held.pop(ref, None) is not None:
            self._effects.append(Unsubscribe(ref))

    def on_connected(self, epoch: str, now: float) -> None:
        """Anything may have been missed: read all."""
        self.connected = True
        self._heard = dict.fromkeys((Bucket.CONFIG, Bucket.REGISTRY, Bucket.CREDENTIALS), now)
        if not self._take_epoch(epoch):
            self._read_all()

    def on_changed(self, event: Changed) -> None:
        """A republished change: taken when it is newer and continues what is held."""
        held = self._held.get(event.ref)
        # Of which epoch it is, no event says: before it is known, only a read may tell. One that
        # was restored may be over.
        unsure = not self.epoch or not self.connected
        if held is None or unsure or event.revision <= held.revision:
            return
        if event.previous < held.revision:
            # Another history than ours: the store was made anew. Only a read may tell.
            self._read(event.ref)
            return
        self._take(event.ref, held, event.value, event.revision)

    def on_read(self, answer: WasRead, now: float) -> None:
        """The store's answer: taken when newer; asked again when older than it has to be."""
        held = self._held.get(answer.ref)
        if held is None or held.reading != answer.number:
            return
        held.reading = 0
        if max(answer.revision, held.revision) < held.wanted:
            self._retry_later(held, now)
            return
        held.is_read, held.failures = True, 0
        if answer.revision > held.revision:
            self._take(answer.ref, held, answer.value, answer.revision)

    def on_read_failed(self, event: ReadFailed, now: float) -> None:
        """Asked again, later and later."""
        held = self._held.get(event.ref)
        if held is not None and held.reading == event.number:
            held.reading = 0
            self._retry_later(held, now)

    def on_heartbeat(
        self, bucket: Bucket, epoch: str, changed: Mapping[str, int], now: float
    ) -> None:
        """What the leader changed lately: read what is lacking."""
        self._heard[bucket] = now
        self._take_epoch(epoch)
        for key, revision in changed.items():
            held = self._held.get(Ref(bucket, key))
            if held is not None and revision > held.wanted:
                held.wanted = revision
                if not held.known:
                    self._read(Ref(bucket, key))

    def on_time(self, now: float) -> None:
        """Reads again what is due, and everything of a bucket that fell silent."""
        for bucket, heard in self._heard.items():
            if self.connected and now >= heard + SILENCE:
                self._heard[bucket] = now
                self._read_all(bucket)
        for ref, held in self._held.items():
            if held.retry_at is not None and now >= held.retry_at:
                self._read(ref)

    def deadlines(self) -> Iterator[float]:
        """When `on_time` has something to do."""
        if self.connected:
            yield from (heard + SILENCE for heard in self._heard.values())
        yield from (held.retry_at for held in self._held.values() if held.retry_at is not None)

    def inconsistencies(self) -> list[str]:
        """What must never be, said as sentences."""
        return [
            f"{ref} lacks revision {held.wanted} and nobody reads it"
            for ref, held in self._held.items()
            if self.connected and not (held.known or held.reading or held.retry_at is not None)
        ] + [
            f"{ref} is being read and waits for a retry"
            for ref, held in self._held.items()
            if held.reading and held.retry_at is not None
        ]

    def _take(self, ref: Ref, held: Held, value: bytes | None, revision: int) -> None:
        held.revision = revision
        self._news(ref, value, revision)

    def _take_epoch(self, epoch: str) -> bool:
        if not epoch or epoch == self.epoch:
            return False
        first, self.epoch = not self.epoch, epoch
        if first:
            return False
        for held in self._held.values():
            held.revision = held.wanted = 0
        self._read_all()
        return True

    def _read_all(self, bucket: Bucket | None = None) -> None:
        for ref, held in self._held.items():
            if bucket is None or ref.bucket is bucket:
                held.is_read = False
                held.reading = 0  # an answer under way may be older than this question
                self._read(ref)

    def _read(self, ref: Ref) -> None:
        held = self._held[ref]
        held.retry_at = None
        if self.connected and not held.reading:
            self._reads += 1
            held.reading = self._reads
            self._effects.append(Read(ref, held.reading))

    def _retry_later(self, held: Held, now: float) -> None:
        held.failures += 1
        held.retry_at = now + min(RETRY_FIRST * 2 ** (held.failures - 1), RETRY_LONGEST)
