"""Keeps a link to the server: makes the first, makes the next after each break, for ever.

What a connection wants to hear (`Interest`) is kept here and attached to every new link.
"""

import asyncio
import logging
import random
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from tulle.bus.credentials import Credentials
from tulle.bus.errors import (
    ConnectFailed,
    Forbidden,
    NotConnected,
    ServerChanged,
    UserRefused,
)
from tulle.bus.link import Link
from tulle.bus.subscription import Interest
from tulle.bus.tasks import end_task

SHORTEST_PAUSE: Final = 0.05
LONGEST_PAUSE: Final = 2.0

_LOG = logging.getLogger(__name__)
Callback = Callable[[], None]


class Keeper:
    """The current link, if there is one. Callbacks must not wait; what they raise is logged.

    `one_start`: it ends, and sets `another_start`, when the server is back after another start;
    nothing was attached to that link then, so that nobody takes what is meant for a successor.
    """

    def __init__(
        self,
        url: str,
        credentials: Credentials,
        name: str,
        on_forbidden: Callable[[Forbidden], None],
        one_start: bool = False,
    ) -> None:
        self.url = url
        self.another_start = asyncio.Event()
        self._one_start = one_start
        self.on_reconnect: list[Callback] = []
        self.on_disconnect: list[Callback] = []
        self._credentials = credentials
        self._name = name
        self._on_forbidden = on_forbidden
        self._interests: list[Interest] = []
        self._link: Link | None = None
        self._server = ""
        self._task: asyncio.Task[None] | None = None

    @property
    def connected(self) -> bool:
        """Whether it can send, as far as is known."""
        return self._link is not None and self._link.alive

    @property
    def server(self) -> str:
        """The server of the newest link."""
        return self._server

    def usable(self, action: str) -> Link:
        """The link. Raises `NotConnected`, with what was to be sent."""
        if self._link is None or not self._link.alive:
            raise NotConnected(action)
        return self._link

    async def open(self, first_timeout: float) -> None:
        """Makes the first link within `first_timeout` seconds, then keeps one."""
        link = await self._first_link(first_timeout)
        self._task = asyncio.create_task(self._keep(link), name=f"NATS link of {self._name}")

    async def close(self) -> None:
        """Ends it, after sending what is pending."""
        if self._task is not None:
            await end_task(self._task)
        link, self._link = self._link, None
        if link is not None:
            await link.close()

    async def attach(self, interest: Interest) -> None:
        """Hears of `interest` on this link, if there is one, and on all that follow."""
        self._interests.append(interest)
        with suppress(NotConnected):
            link = self.usable("a subscription")
            await link.attach(interest)
            await link.round_trip()

    async def detach(self, interest: Interest, *, drain: bool = False) -> None:
        """Ends that; `drain`: after all that the server sent for it was delivered."""
        with suppress(ValueError):
            self._interests.remove(interest)
        if self._link is not None:
            await (self._link.drain(interest) if drain else self._link.detach(interest))

    async def _first_link(self, first_timeout: float) -> Link:
        now = asyncio.get_running_loop().time
        deadline = now() + first_timeout
        attempt = 0
        while True:
            try:
                return await self._connect()
            except ConnectFailed as error:
                if "authorization" in error.reason.lower():
                    raise UserRefused(self.url, self._credentials.user) from None
                if now() >= deadline:
                    why = f"{error.reason} (tried for {first_timeout:.1f} s)"
                    raise ConnectFailed(self.url, why) from None
            await asyncio.sleep(min(_pause(attempt), max(0.0, deadline - now())))
            attempt += 1

    async def _connect(self) -> Link:
        """A link with all interests attached, in use from here on. Raises `ConnectFailed`."""
        link = Link(self._credentials, self._on_forbidden)
        await link.connect(self.url, self._name)
        if self._one_start and self._server not in ("", link.server):
            link.abort()
            raise ServerChanged(self._server)
        try:
            # In a loop: interests come and go while this waits.
            while link.attached() != set(self._interests):
                for interest in set(self._interests) - link.attached():
                    await link.attach(interest)
                for interest in link.attached() - set(self._interests):
                    await link.detach(interest)
            self._link, self._server = link, link.server
            await link.round_trip()
        except NotConnected:
            self._link = None
            raise ConnectFailed(self.url, "the link broke at once") from None
        finally:
            if self._link is not link:
                link.abort()
        return link

    async def _keep(self, link: Link) -> None:
        while True:
            await link.broken()
            self._link = None
            link.abort()
            _LOG.warning("NATS link lost: url=%s name=%s", self.url, self._name)
            _call_all(self.on_disconnect)
            try:
                link = await self._next_link()
            except ServerChanged as error:
                _LOG.info("%s: name=%s", error, self._name)
                self.another_start.set()
                return
            _LOG.info("NATS link is back: url=%s name=%s", self.url, self._name)
            _call_all(self.on_reconnect)

    async def _next_link(self) -> Link:
        attempt = 0
        while True:
            await asyncio.sleep(_pause(attempt))
            try:
                return await self._connect()
            except ServerChanged:
                raise
            except Exception as error:  # whatever it is, an hour later it may be mended
                attempt += 1
                if attempt.bit_count() == 1:  # 1, 2, 4, 8, ...: an outage has few lines
                    _LOG.warning("NATS link: attempt=%d error=%s", attempt, error)


def _pause(attempt: int) -> float:
    """Seconds before an attempt: doubling up to 2 s, half of it by chance.

    By chance, so that a server that comes back does not meet all of its clients at once.
    """
    longest = min(LONGEST_PAUSE, SHORTEST_PAUSE * 2.0 ** min(attempt, 10))
    return longest * (0.5 + random.random() / 2)


def _call_all(callbacks: list[Callback]) -> None:
    for callback in callbacks:
        try:
            callback()
        except Exception:
            _LOG.exception("a callback of the NATS connection failed")
