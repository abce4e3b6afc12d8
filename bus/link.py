"""One link to the server: a nats-py client that lives from one connect to its first break.

`connection.py` makes a new one after each break. nats-py's own reconnecting is off, because a link
that never comes back has no left-overs: nothing queued before the break is sent after it, and an
error that closes nats-py's client for good (it has several) is a break like any other.
"""

import asyncio
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription as NatsSubscription

from tulle.bus.credentials import Credentials
from tulle.bus.errors import ConnectFailed, Forbidden, NotConnected, ServerTooOld, TooLarge
from tulle.bus.subscription import Interest, Message

CONNECT_SECONDS: Final = 2
PING_SECONDS: Final = 2
PINGS_OUTSTANDING: Final = 2
ROUND_TRIP_SECONDS: Final = 5
UNSENT_BYTES: Final = 32 * 1024 * 1024
OLDEST_SERVER: Final = (2, 12)

_VIOLATION = re.compile(r'permissions violation for (publish|subscription) to "([^"]+)"', re.I)
_ACTIONS = {"publish": "publish to", "subscription": "subscribe to"}


class Link:
    """A connected client. `on_forbidden` is told of each permission violation, as it arrives."""

    def __init__(self, credentials: Credentials, on_forbidden: Callable[[Forbidden], None]) -> None:
        self._credentials = credentials
        self._on_forbidden = on_forbidden
        self._client = Client()
        self._native: dict[Interest, NatsSubscription] = {}
        self._closed = asyncio.Event()
        self._last_error: Exception | None = None

    @property
    def alive(self) -> bool:
        """Whether it can send, as far as is known: a dead peer is noticed after 6 s at most."""
        return self._client.is_connected

    @property
    def server(self) -> str:
        """Which server this is: one that was started again has another id. All of a cluster have
        its name: there a store outlives the start of each."""
        told = self._client._server_info
        return str(told.get("cluster") or told.get("server_id", ""))

    async def connect(self, url: str, name: str) -> None:
        """Connects once, within 2 s. Raises `ConnectFailed`, `ServerTooOld`."""
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await self._client.connect(
                    servers=[url],
                    name=name,
                    user_jwt_cb=self._credentials.jwt_bytes,
                    signature_cb=self._credentials.sign,
                    inbox_prefix=self._credentials.inbox,
                    error_cb=self._on_error,
                    closed_cb=self._on_closed,
                    allow_reconnect=False,
                    max_reconnect_attempts=1,
                    reconnect_time_wait=0,
                    connect_timeout=CONNECT_SECONDS,
                    ping_interval=PING_SECONDS,
                    max_outstanding_pings=PINGS_OUTSTANDING,
                    pending_size=0,
                )
            self._check_version()
        except TimeoutError:
            self.abort()
            raise ConnectFailed(url, f"nothing answered within {CONNECT_SECONDS} s") from None
        except (OSError, nats.errors.Error) as error:
            self.abort()
            raise ConnectFailed(url, _why(self._last_error or error)) from None
        except BaseException:
            self.abort()
            raise

    async def broken(self) -> None:
        """Returns when the link does not work any more."""
        while not self._client.is_closed:
            # Asked as well: nats-py may hang or fail on its way to its callback.
            with suppress(TimeoutError):
                async with asyncio.timeout(PING_SECONDS):
                    await self._closed.wait()

    async def attach(self, interest: Interest) -> None:
        """Subscribes; `round_trip` then proves that the server has it."""

        async def received(message: Msg) -> None:
            interest.deliver(
                Message(message.subject, message.data, message.reply, message.headers or {})
            )

        with _as_not_connected("a subscription"):
            self._native[interest] = await self._client.subscribe(
                interest.subject, interest.queue, received
            )

    def attached(self) -> set[Interest]:
        """What it is subscribed to."""
        return set(self._native)

    async def detach(self, interest: Interest) -> None:
        """Ends a subscription, drops what is on its way."""
        native = self._native.pop(interest, None)
        if native is not None:
            with suppress(nats.errors.Error):
                await native.unsubscribe()

    async def drain(self, interest: Interest) -> None:
        """Ends a subscription once all that the server sent for it was delivered."""
        native = self._native.pop(interest, None)
        if native is not None:
            with suppress(nats.errors.Error):
                await native.drain()  # type: ignore[no-untyped-call]  # nats-py's

    async def publish(
        self, subject: str, data: bytes, reply: str, headers: dict[str, str] | None
    ) -> None:
        """Hands a message to the socket. Raises `NotConnected`, `TooLarge`."""
        if self._client.pending_data_size > UNSENT_BYTES:
            await self.round_trip()
        try:
            with _as_not_connected(f"a message to {subject!r}"):
                await self._client.publish(subject, data, reply, headers)
        except nats.errors.MaxPayloadError:
            raise TooLarge(subject, len(data), self._client.max_payload) from None

    async def round_trip(self) -> None:
        """Returns when the server has seen all that was sent. Raises `NotConnected`."""
        try:
            async with asyncio.timeout(ROUND_TRIP_SECONDS):
                await self._written()
            with _as_not_connected("a ping"):
                await self._ping()
        except TimeoutError:
            self.abort()
            raise NotConnected("a ping") from None

    async def _ping(self) -> None:
        """nats-py's flush, which must not be cancelled: a pong that nobody waits for any more ends
        its reader. For the same reason a link whose pong is late is not used again."""
        ping = asyncio.create_task(self._client.flush(ROUND_TRIP_SECONDS))
        ping.add_done_callback(lambda task: task.cancelled() or task.exception())
        await asyncio.shield(ping)

    async def close(self) -> None:
        """Sends what is pending, then closes."""
        with suppress(TimeoutError, OSError, nats.errors.Error):
            async with asyncio.timeout(CONNECT_SECONDS):
                await self._client.close()
        self.abort()

    def abort(self) -> None:
        """Closes the socket at once. nats-py's close waits for a peer that may be dead."""
        writer = getattr(self._client._transport, "_io_writer", None)
        if isinstance(writer, asyncio.StreamWriter):
            writer.transport.abort()

    async def _written(self) -> None:
        """Returns when all is in the socket's hands: nats-py's ping overtakes what it queued."""
        pause = 0.0
        while self._client.pending_data_size and self.alive:
            await asyncio.sleep(pause)
            pause = 0.002  # the socket is full: don't spin

    def _check_version(self) -> None:
        version = self._client.connected_server_version
        if (version.major, version.minor) < OLDEST_SERVER:
            self.abort()
            found = f"{version.major}.{version.minor}"
            raise ServerTooOld(found, ".".join(map(str, OLDEST_SERVER)))

    async def _on_closed(self) -> None:
        self._closed.set()

    async def _on_error(self, error: Exception) -> None:
        if violation := _VIOLATION.search(str(error)):
            action, subject = violation.groups()
            self._on_forbidden(Forbidden(self._credentials.user, _ACTIONS[action.lower()], subject))
        elif not isinstance(error, nats.errors.NoServersError):
            self._last_error = error


@contextmanager
def _as_not_connected(action: str) -> Iterator[None]:
    """Turns what nats-py says of a lost connection into `NotConnected`."""
    try:
        yield
    except TimeoutError:  # an OSError too
        raise
    except (
        nats.errors.OutboundBufferLimitError,
        nats.errors.ConnectionClosedError,
        nats.errors.ConnectionDrainingError,
        OSError,
    ):
        raise NotConnected(action) from None


def _why(error: Exception) -> str:
    """What kept a client from the server, without the words of the system where they are known."""
    match error:
        case ConnectionRefusedError():
            return "nothing listens there"
        case socket.gaierror():
            return "nobody knows a host of that name"
        case _:
            return str(error)
