"""What a proxy holds, installs and acknowledges: the deciding part of `actor.py`, without I/O.

`handle(event, now)` gives effects, `deadline()` says when the next `Tick` is due. The keys and
their repair are in `held.py`, their values in `needs.py`; here is what they mean:

- always held: `hosts`, and the inbound config of its namespace and the root namespace; a gateway's
  own config. `outbound` configs on first use, until the host leaves the index.
- make before break: routes are installed when what they need is known (a record that does not
  exist counts), or after `HELD_BACK` seconds: the registry's records of all services that they
  name and, in gateways, credentials.
- what is installed is kept on the proxy's own disk. Restored from there it is in use at once, and
  what the bus says follows; enough to listen by only when all that is always held was kept, be it
  that a key does not exist: who knows no policies would let everybody pass.
- own revision: the mesh revision of the newest heartbeat of `config` of which nothing is lacking.
- `ProxyStatus`: `COALESCE` after an install, at once on a change of the shell's state, and every
  `STATUS_EVERY` seconds.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from tulle.actors.proxy.events import (
    Changed,
    Connected,
    Discard,
    Effect,
    Event,
    Heard,
    HostWanted,
    Install,
    Installable,
    Keep,
    Kept,
    ReadFailed,
    Ref,
    RemoveCredential,
    RemoveOutbound,
    Reported,
    Restored,
    SendStatus,
    Tick,
    WasRead,
)
from tulle.actors.proxy.held import HeldKeys
from tulle.actors.proxy.needs import decode, first_keys, is_outbound, needs_of
from tulle.actors.proxy.spec import ProxySpec
from tulle.bus import keys
from tulle.bus.messages import Heartbeat, ProxyStatus, ServiceRecord
from tulle.bus.subjects import Bucket
from tulle.policies.config import GatewayConfig, HostsConfig, OutboundConfig

HELD_BACK = 2.0
COALESCE = 0.002
STATUS_EVERY = 2.0

Routing = OutboundConfig | GatewayConfig


@dataclass(frozen=True, slots=True)
class Installed:
    """What the plane has for a key: at which revision, and the keys that it needs."""

    revision: int
    needs: frozenset[Ref] = frozenset()


@dataclass(frozen=True, slots=True)
class HeldBack:
    """A config that waits for what it needs, until `deadline` at most."""

    config: Routing
    revision: int
    needs: frozenset[Ref]
    deadline: float
    value: bytes = field(repr=False)


class ProxyMachine:
    """See the module. One per proxy; not thread-safe, never blocks."""

    def __init__(self, spec: ProxySpec, started: float, root_namespace: str = "istio-system"):
        """`started`: Unix time of the actor's start, which tells its lives apart."""
        self.spec = spec
        self.revision = 0
        self.restored = False  # whether it may listen by what was kept
        self._started = started
        self._effects: list[Effect] = []
        self._held = HeldKeys(self._on_news, self._effects)
        self._now = 0.0
        self._installed: dict[Ref, Installed] = {}
        self._held_back: dict[Ref, HeldBack] = {}
        self._hosts: frozenset[str] | None = None
        self._heartbeat: Heartbeat | None = None
        self._report = Reported("starting", (), ())
        self._undecodable: dict[Ref, str] = {}
        self._decoded: tuple[Ref, bytes, Installable] | None = None
        self._status_due = 0.0
        self._first = frozenset(first_keys(spec, root_namespace))
        for ref in sorted(self._first):
            self._held.hold(ref)

    def expect(self, ref: Ref, value: bytes, what: Installable) -> None:
        """What the value of the next event is: it was decoded elsewhere, in steps."""
        self._decoded = (ref, value, what)

    def handle(self, event: Event, now: float) -> list[Effect]:
        """What is to be done, in order, after `event` at monotonic time `now`, in seconds."""
        self._now = now
        self._dispatch(event)
        self._release()
        self._raise_revision()
        if now >= self._status_due:
            self._status_due = now + STATUS_EVERY
            self._effects.append(SendStatus(self.status()))
        effects = self._effects[:]
        self._effects.clear()
        return effects

    def deadline(self) -> float:
        """When, at the latest, the next event has to come."""
        waiting = (held_back.deadline for held_back in self._held_back.values())
        return min(self._status_due, *waiting, *self._held.deadlines(), self._status_due)

    def has_first_keys(self) -> bool:
        """Whether the proxy may listen: all that it always holds was read, and is installed.

        One that can't read its policies at all would let everybody pass.
        """
        blind = any(ref in self._first and ref not in self._installed for ref in self._undecodable)
        known = self._held.connected and self._held.knows_all()
        return known and not self._held_back and not blind

    def status(self) -> ProxyStatus:
        """What the proxy holds now."""
        spec = self.spec
        return ProxyStatus(
            id=spec.id,
            role=spec.role,
            namespace=spec.namespace,
            service=spec.service,
            pool=spec.pool,
            state=self._report.state,
            epoch=self._held.epoch,
            revision=self.revision,
            holds={str(ref): it.revision for ref, it in sorted(self._installed.items())},
            listening=list(self._report.listening),
            problems=[*self._report.problems, *self._undecodable.values()],
            started=self._started,
        )

    def validate(self) -> list[str]:
        """What must never be, said as sentences; empty when all is well."""
        needed = self._needed()
        held = {ref for ref in self._held if ref.bucket is not Bucket.CONFIG}
        return [
            *self._held.inconsistencies(),
            *(f"{ref} is needed and not held" for ref in sorted(needed - held)),
            *(f"{ref} is held and not needed" for ref in sorted(held - needed)),
            *(
                f"{ref} is installed and not held"
                for ref in self._installed
                if ref not in self._held
            ),
            *(f"{ref} waits and is not held" for ref in self._held_back if ref not in self._held),
            *(
                f"{ref} is held back though what it needs is known"
                for ref, held_back in self._held_back.items()
                if self._is_due(held_back)
            ),
        ]

    # Events.

    def _dispatch(self, event: Event) -> None:
        match event:
            case Restored(kept):
                self._restore({it.ref: it for it in kept})
            case Connected(epoch):
                self._on_epoch(epoch)
                self._held.on_connected(epoch, self._now)
                self._status_due = self._now  # who was away is missed
            case HostWanted(host):
                if self._hosts is not None and host in self._hosts:
                    self._held.hold(Ref(Bucket.CONFIG, keys.outbound(host)))
            case Changed():
                self._held.on_changed(event)
            case WasRead():
                self._held.on_read(event, self._now)
                self._keep_absence(event)
            case ReadFailed():
                self._held.on_read_failed(event, self._now)
            case Heard(heartbeat):
                self._on_heartbeat(heartbeat)
            case Tick():
                self._held.on_time(self._now)
            case Reported():
                self._report = event
                self._status_due = self._now

    def _on_heartbeat(self, heartbeat: Heartbeat) -> None:
        self._on_epoch(heartbeat.epoch)
        bucket = Bucket(heartbeat.bucket)
        if bucket is Bucket.CONFIG:
            self._heartbeat = heartbeat
        self._held.on_heartbeat(bucket, heartbeat.epoch, heartbeat.changed, self._now)

    def _on_epoch(self, epoch: str) -> None:
        if epoch and self._held.epoch not in ("", epoch):
            self.revision = 0
            self._heartbeat = None
            # What is in use stays in use, but its number says nothing in the new epoch.
            self._installed = {r: replace(it, revision=0) for r, it in self._installed.items()}
            self._held_back = {r: replace(it, revision=0) for r, it in self._held_back.items()}
            self._status_due = self._now

    def _on_news(self, ref: Ref, value: bytes | None, revision: int) -> None:
        if value is None:
            self._on_deleted(ref, revision)
            return
        try:
            what = self._decoded_value(ref, value)
        except ValueError as error:
            # The last good value stays. A newer version of tulle may have written this.
            self._undecodable[ref] = f"{ref}: {error}"
            self._status_due = self._now
            return
        self._undecodable.pop(ref, None)
        if isinstance(what, OutboundConfig | GatewayConfig):
            self._hold_back(ref, what, revision, value)
        else:
            self._install(ref, what, Installed(revision))
            self._keep(ref, revision, value)
        if isinstance(what, HostsConfig):
            self._drop_vanished(what)

    def _decoded_value(self, ref: Ref, value: bytes) -> Installable:
        expected, self._decoded = self._decoded, None
        if expected is not None and expected[0] == ref and expected[1] is value:
            return expected[2]
        return decode(ref, value)

    def _on_deleted(self, ref: Ref, revision: int) -> None:
        """Of a host's config the index decides: whoever is in it keeps what it has."""
        key = keys.parse_key(ref.key)
        if key.kind is keys.KeyKind.SERVICE:
            namespace, name = key.parts
            self._install(ref, ServiceRecord(namespace=namespace, name=name), Installed(revision))
            self._effects.append(Discard(ref))
        elif key.kind is keys.KeyKind.CREDENTIAL:
            self._effects += [RemoveCredential(key.parts[0]), Discard(ref)]
            self._installed[ref] = Installed(revision)

    # Keeping, and what was kept.

    def _keep(self, ref: Ref, revision: int, value: bytes | None) -> None:
        self._effects.append(Keep(ref, self._held.epoch, revision, value))

    def _keep_absence(self, event: WasRead) -> None:
        ref = event.ref
        absent = event.value is None and ref not in self._installed and self._held.knows(ref)
        if ref in self._first and absent:
            self._keep(ref, event.revision, None)

    def _restore(self, kept: Mapping[Ref, Kept]) -> None:
        """What was in use is in use again, before anything is heard from the bus."""
        if self._held.connected or not self._first <= kept.keys():
            return
        # Files that another epoch left are good, but their numbers say nothing in this one.
        hosts = Ref(Bucket.CONFIG, keys.HOSTS)
        self._held.epoch = epoch = kept[hosts].epoch
        # Endpoints and credentials before the routes to them.
        for ref in sorted(kept, key=lambda ref: (ref.bucket is Bucket.CONFIG, ref)):
            revision = kept[ref].revision if kept[ref].epoch == epoch else 0
            self._held.restore(ref, revision)
            what = kept[ref].what
            if what is None:
                continue
            needs: frozenset[Ref] = frozenset()
            if isinstance(what, OutboundConfig | GatewayConfig):
                needs = needs_of(what)
            for needed in sorted(needs):
                self._held.hold(needed)
            self._install(ref, what, Installed(revision, needs))
        if isinstance(index := kept[hosts].what, HostsConfig):
            self._drop_vanished(index)
        self._drop_unneeded()
        self.restored = True

    # Installing.

    def _hold_back(self, ref: Ref, config: Routing, revision: int, value: bytes) -> None:
        needs = needs_of(config)
        before = self._held_back.get(ref)
        deadline = before.deadline if before else self._now + HELD_BACK
        self._held_back[ref] = HeldBack(config, revision, needs, deadline, value)
        for needed in sorted(needs):
            self._held.hold(needed)
        if before and before.needs - needs:
            self._drop_unneeded()

    def _release(self) -> None:
        """Installs what waited long enough."""
        due = [ref for ref, held_back in self._held_back.items() if self._is_due(held_back)]
        for ref in due:
            held_back = self._held_back.pop(ref)
            before = self._installed.get(ref)
            installed = Installed(held_back.revision, held_back.needs)
            self._install(ref, held_back.config, installed)
            self._keep(ref, held_back.revision, held_back.value)
            if before and before.needs - installed.needs:
                self._drop_unneeded()

    def _is_due(self, held_back: HeldBack) -> bool:
        return self._now >= held_back.deadline or all(
            self._held.knows(needed) for needed in held_back.needs
        )

    def _install(self, ref: Ref, what: Installable, installed: Installed) -> None:
        self._effects.append(Install(what))
        self._installed[ref] = installed
        self._status_due = min(self._status_due, self._now + COALESCE)

    def _drop_vanished(self, index: HostsConfig) -> None:
        self._hosts = frozenset(entry.key for entry in index.hosts)
        alive = {keys.outbound(host) for host in self._hosts}
        for ref in [ref for ref in self._held if is_outbound(ref) and ref.key not in alive]:
            self._drop(ref)
            self._effects.append(RemoveOutbound(keys.parse_key(ref.key).parts[0]))
        self._drop_unneeded()

    def _drop_unneeded(self) -> None:
        needed = self._needed()
        for ref in list(self._held):
            if ref.bucket is Bucket.CONFIG or ref in needed:
                continue
            self._drop(ref)
            if ref.bucket is Bucket.CREDENTIALS:
                self._effects.append(RemoveCredential(keys.parse_key(ref.key).parts[0]))

    def _drop(self, ref: Ref) -> None:
        self._held.drop(ref)
        self._effects.append(Discard(ref))
        self._installed.pop(ref, None)
        self._held_back.pop(ref, None)
        self._undecodable.pop(ref, None)

    def _needed(self) -> set[Ref]:
        users: list[Installed | HeldBack] = [*self._installed.values(), *self._held_back.values()]
        return {needed for user in users for needed in user.needs}

    # Acknowledging.

    def _raise_revision(self) -> None:
        newest = self._heartbeat.revision if self._heartbeat else 0
        waits = self._held_back or not self._held.connected or not self._held.knows_all()
        if newest <= self.revision or waits:
            return
        self.revision = newest
        self._status_due = min(self._status_due, self._now + COALESCE)
