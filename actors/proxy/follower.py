"""Carries out what the machine decides: on the bus by `subscriptions.py`, in the plane by installs,
on the proxy's own disk by `last_good.py`.

Counterparts: `machine.py`, which gets every event here, one at a time, and its timer.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from math import inf
from time import perf_counter
from typing import Final

from tulle.actors.proxy.events import (
    Changed,
    Discard,
    Effect,
    Event,
    Install,
    Installable,
    Keep,
    Kept,
    Read,
    RemoveCredential,
    RemoveOutbound,
    Restored,
    SendStatus,
    Subscribe,
    Tick,
    Unsubscribe,
    WasRead,
)
from tulle.actors.proxy.last_good import LastGood
from tulle.actors.proxy.machine import ProxyMachine
from tulle.actors.proxy.needs import decoding
from tulle.actors.proxy.plane import Plane
from tulle.actors.proxy.subscriptions import Subscriptions
from tulle.bus.keeping import CredentialRecord
from tulle.bus.messages import ServiceRecord
from tulle.bus.subjects import Bucket
from tulle.policies.config import GatewayConfig, HostsConfig, InboundConfig, OutboundConfig
from tulle.policies.steps import Steps

SLICE_SECONDS: Final = 0.0015
WAITING_EVENTS: Final = 1_024
"""So many may wait for an install. Further changes are dropped: a heartbeat tells what lacks."""
"""How long the loop is kept at once; design: 2 ms at most."""


class Follower:
    """`on_gateway` is told of each gateway config that was installed: its ports are to be opened.

    `has_first_keys` is set once all is there without which the proxy must not listen.
    """

    def __init__(
        self,
        machine: ProxyMachine,
        plane: Plane,
        last_good: LastGood,
        on_gateway: Callable[[GatewayConfig], None],
    ) -> None:
        self.has_first_keys = asyncio.Event()
        self._machine = machine
        self._plane = plane
        self._last_good = last_good
        self._on_gateway = on_gateway
        self._loop = asyncio.get_running_loop()
        self._subscriptions: Subscriptions | None = None
        self._unsubscribed: list[Subscribe | Unsubscribe] = []  # until the bus is there
        self._stopped = False
        self._events: deque[Event] = deque()
        self._steps: Steps[None] | None = None  # of what is under way
        self._holding_status = 0
        self._timer: asyncio.TimerHandle | None = None

    def restore(self, kept: tuple[Kept, ...]) -> bool:
        """Installs what the last life had in use. Whether that is enough to listen by."""
        self._events.append(Restored(kept))
        self._steps = self._all_events()
        self._go_on(inf)  # at once: nobody is served yet
        return self._machine.restored

    async def start(self, subscriptions: Subscriptions) -> None:
        """Follows the bus from now on."""
        self._subscriptions = subscriptions
        waiting, self._unsubscribed = self._unsubscribed, []
        for effect in waiting:
            self._on_bus(effect)
        self.tell(Tick())
        await subscriptions.start()

    async def stop(self) -> None:
        """Ends it; what is installed stays."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
        await self._last_good.flush()
        subscriptions, self._subscriptions = self._subscriptions, None
        if subscriptions is not None:
            await subscriptions.stop()

    def tell(self, event: Event) -> None:
        """Handles `event` and performs its effects; an event that these cause comes after.

        What takes long is done in slices, between which the loop serves requests: then it has only
        begun when this returns. What comes meanwhile waits for its end.
        """
        if self._stopped:
            return
        if isinstance(event, Changed) and len(self._events) >= WAITING_EVENTS:
            return
        self._events.append(event)
        if self._steps is None:
            self._steps = self._all_events()
            self._go_on(SLICE_SECONDS)

    def _go_on(self, seconds: float) -> None:
        """Takes steps for so long, and the next ones in the loop's next turn."""
        until = perf_counter() + seconds
        try:
            for _ in self._steps or ():
                if self._stopped:
                    return
                if perf_counter() >= until:
                    self._loop.call_soon(self._go_on, seconds)
                    return
        except BaseException:
            self._steps = None
            raise
        self._steps = None
        if self._stopped:
            return
        if not self.has_first_keys.is_set() and self._machine.has_first_keys():
            self.has_first_keys.set()
        self._set_timer()

    def _all_events(self) -> Steps[None]:
        while self._events:
            event = self._events.popleft()
            yield from self._decode(event)
            for effect in self._machine.handle(event, self._loop.time()):
                yield from self._perform(effect)

    def _decode(self, event: Event) -> Steps[None]:
        if not isinstance(event, Changed | WasRead) or event.ref.bucket is not Bucket.CONFIG:
            return
        if event.value is not None:
            with suppress(ValueError):  # which the machine will meet, and tell
                what = yield from decoding(event.ref, event.value)
                self._machine.expect(event.ref, event.value, what)

    def hold_status(self, hold: bool) -> None:
        """No status leaves until as many holds have ended as were begun."""
        self._holding_status += 1 if hold else -1

    def _perform(self, effect: Effect) -> Steps[None]:
        match effect:
            case Subscribe() | Unsubscribe() | Read() | SendStatus():
                self._on_bus(effect)
            case Keep() | Discard():
                self._last_good.write(effect)
            case Install(what):
                yield from self._install(what)
            case RemoveOutbound(host):
                self._plane.remove_outbound(host)
            case RemoveCredential(name):
                self._plane.remove_credential(name)

    def _on_bus(self, effect: Subscribe | Unsubscribe | Read | SendStatus) -> None:
        bus = self._subscriptions
        match effect:
            case Subscribe() | Unsubscribe() if bus is None:
                self._unsubscribed.append(effect)
            case _ if bus is None:
                pass  # a read follows the connection, a status is followed by the next
            case Subscribe(ref):
                bus.subscribe(ref)
            case Unsubscribe(ref):
                bus.unsubscribe(ref)
            case Read(ref, number):
                bus.read(ref, number)
            case SendStatus(status):
                if not self._holding_status:
                    bus.send_status(status)

    def _install(self, what: Installable) -> Steps[None]:
        match what:
            case HostsConfig():
                self._plane.install_hosts(what)
            case OutboundConfig():
                yield from self._plane.installing_outbound(what)
            case InboundConfig():
                self._plane.install_inbound(what)
            case CredentialRecord():
                self._plane.install_credential(what)
            case ServiceRecord():
                self._plane.install_service(what)
            case GatewayConfig():
                yield from self._plane.installing_gateway(what)
                self._on_gateway(what)

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(self._machine.deadline(), self.tell, Tick())
