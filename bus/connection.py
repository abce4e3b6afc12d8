"""A connection to NATS that re-makes itself for ever, and says at once when it can't send.

All rooms talk through it. What nats-py does by itself, and what happens here instead (each with a
test in tests/integration/bus/test_connection.py):

- `publish` while disconnected queues silently: here it raises `NotConnected`, nothing is sent
  later. (Until a dead peer is noticed, 6 s at most, a publish may be lost.)
- a timed-out put may be stored later: `NoAnswer` says so, and `store.py` how to go on.
- a permission violation reaches the caller as a time-out: here `request` and `subscribe` raise
  `Forbidden` at once, and `flush` raises it for what was published before.
- the ping interval is 120 s: here 2 s, two may be outstanding.
- the first connect with unlimited attempts never returns: here `first_timeout` bounds it, and a
  refused user fails at once.
- a flush overtakes what was sent before it: here it comes after (`link.py`).
- some errors close the client for good, a flush that timed out kills its reader, a hanging peer
  holds up its close: here each is a break like any other (`link.py`, `keeper.py`).
- a break cancels handlers in the middle of a message: here they outlive it (`subscription.py`).
"""

import asyncio
import logging
import secrets
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import suppress
from typing import Final

from tulle.bus.credentials import Credentials
from tulle.bus.errors import Forbidden, NotConnected, ServerChanged
from tulle.bus.inbox import Inbox
from tulle.bus.keeper import Callback, Keeper
from tulle.bus.subscription import PENDING, Handler, Interest, Message, Subscription

DRAIN_SECONDS: Final = 10.0

_LOG = logging.getLogger(__name__)


class Connection:
    """Made by `connect`. As a context manager it closes itself."""

    def __init__(
        self, url: str, credentials: Credentials, name: str, one_start: bool = False
    ) -> None:
        self.url = url
        self.user = credentials.user
        self._credentials = credentials
        self._forbidden: deque[Forbidden] = deque(maxlen=100)
        self._subscriptions: dict[Interest, Subscription] = {}
        self._inbox = Inbox(self.new_inbox())
        self._keeper = Keeper(url, credentials, name, self._take_forbidden, one_start)
        self._keeper.on_disconnect.append(self._fail_requests)

    @property
    def connected(self) -> bool:
        """Whether it can send, as far as is known."""
        return self._keeper.connected

    @property
    def server(self) -> str:
        """Names the start of the server that it is, or was last, connected to."""
        return self._keeper.server

    async def until_another_start(self) -> None:
        """Raises `ServerChanged` when the server is back after another start. For connections of
        `one_start`; they do not connect again."""
        await self._keeper.another_start.wait()
        raise ServerChanged(self.server)

    def on_reconnect(self, callback: Callback) -> None:
        """Calls `callback` each time the link is back, subscriptions included."""
        self._keeper.on_reconnect.append(callback)

    def forget_reconnect(self, callback: Callback) -> None:
        """Ends what `on_reconnect` began."""
        self._keeper.on_reconnect.remove(callback)

    def on_disconnect(self, callback: Callback) -> None:
        """Calls `callback` each time the link breaks."""
        self._keeper.on_disconnect.append(callback)

    def new_inbox(self) -> str:
        """A reply subject of this user that nobody uses yet, to subscribe to."""
        return f"{self._credentials.inbox}.{secrets.token_hex(8)}"

    async def publish(
        self,
        subject: str,
        data: bytes = b"",
        *,
        reply: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Sends a message. Raises `NotConnected`, `TooLarge`; see `flush` for `Forbidden`."""
        link = self._keeper.usable(f"a message to {subject!r}")
        await link.publish(subject, data, reply, dict(headers) if headers else None)

    async def flush(self) -> None:
        """Returns when the server has all that was sent. Raises `NotConnected`, `Forbidden`."""
        await self._keeper.usable("a ping").round_trip()
        if self._forbidden:
            error = self._forbidden[0]
            self._forbidden.clear()
            raise error

    async def request(
        self,
        subject: str,
        data: bytes = b"",
        timeout: float = 5.0,  # noqa: ASYNC109  the error names the subject and the seconds
        *,
        headers: Mapping[str, str] | None = None,
    ) -> Message:
        """The first answer. Raises `NoAnswer`, `NobodyListens`, `Forbidden`, `NotConnected`."""
        with self._inbox.expect(subject, _now()) as waiting:
            await self.publish(subject, data, reply=waiting.reply, headers=headers)
            return await waiting.next(timeout)

    async def request_many(
        self,
        subject: str,
        data: bytes = b"",
        timeout: float = 5.0,  # noqa: ASYNC109  as above
        *,
        done: Callable[[Message], bool],
        headers: Mapping[str, str] | None = None,
    ) -> AsyncGenerator[Message, None]:
        """Answers up to the first of which `done` is true; `timeout` s for each of them.

        Raises what `request` raises. Close it (`contextlib.aclosing`) when leaving it early.
        """
        with self._inbox.expect(subject, _now()) as waiting:
            await self.publish(subject, data, reply=waiting.reply, headers=headers)
            while True:
                answer = await waiting.next(timeout)
                yield answer
                if done(answer):
                    return

    async def subscribe(
        self, subject: str, handler: Handler, queue: str = "", *, pending: int = PENDING
    ) -> Subscription:
        """Hears `subject` until `unsubscribe`, across breaks. Raises `Forbidden`.

        `handler` gets one message at a time; work that waits for long belongs in a task. Of the
        members of a `queue` group one gets each message. Without a link it begins when it is back.
        """
        subscription = Subscription(subject, handler, queue, pending)
        self._subscriptions[subscription.interest] = subscription
        try:
            await self.attach(subscription.interest)
        except BaseException:
            await self.unsubscribe(subscription)
            raise
        return subscription

    async def unsubscribe(self, subscription: Subscription) -> None:
        """Ends a subscription and its handler."""
        self._subscriptions.pop(subscription.interest, None)
        await self.detach(subscription.interest)
        await subscription.stop()

    async def attach(self, interest: Interest) -> None:
        """As `subscribe`, for a function that does not wait and so needs no queue."""
        await self._keeper.attach(interest)
        for error in list(self._forbidden):
            # NATS writes the subject in small letters.
            if error.action == "subscribe to" and error.subject == interest.subject.lower():
                self._forbidden.remove(error)
                await self.detach(interest)
                raise Forbidden(error.user, error.action, interest.subject)

    async def detach(self, interest: Interest) -> None:
        """Ends what `attach` began."""
        await self._keeper.detach(interest)

    async def drain(self, seconds: float = DRAIN_SECONDS) -> None:
        """Hears nothing new, handles what has arrived, for at most `seconds`; then closes."""
        with suppress(TimeoutError, NotConnected, Forbidden):
            async with asyncio.timeout(seconds):
                for interest in list(self._subscriptions):
                    await self._keeper.detach(interest, drain=True)
                await asyncio.gather(*(one.finish() for one in self._subscriptions.values()))
        await self.close()

    async def close(self) -> None:
        """Ends handlers and the link; a closed connection is not used again."""
        for subscription in list(self._subscriptions.values()):
            await subscription.stop()
        self._subscriptions.clear()
        await self._keeper.close()
        self._fail_requests()

    async def open(self, first_timeout: float) -> None:
        """For `connect`."""
        await self._keeper.attach(self._inbox.interest)
        await self._keeper.open(first_timeout)

    async def __aenter__(self) -> "Connection":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _fail_requests(self) -> None:
        self._inbox.fail_all("the link broke", _now())

    def _take_forbidden(self, error: Forbidden) -> None:
        if error.action == "publish to" and self._inbox.fail_forbidden(error):
            return
        _LOG.error("%s", error)
        self._forbidden.append(error)


async def connect(
    url: str,
    credentials: Credentials,
    *,
    name: str,
    first_timeout: float = 10.0,
    one_start: bool = False,
) -> Connection:
    """A connection that is up. Raises `ConnectFailed` when it is not within `first_timeout` s.

    `one_start`: it is of use for this start of the server alone, see `until_another_start`.
    `name` is what the server calls it. A refused user fails at once, an old server raises
    `ServerTooOld`.
    """
    connection = Connection(url, credentials, name, one_start)
    await connection.open(first_timeout)
    return connection


def _now() -> float:
    return asyncio.get_running_loop().time()
