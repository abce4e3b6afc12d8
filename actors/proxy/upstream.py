"""A connection to an endpoint: one request at a time, then back into the endpoint's pool."""

import asyncio
from typing import TYPE_CHECKING, cast

from tulle.actors.proxy.wheel import NOT_ARMED
from tulle.actors.proxy.wire.response import ResponseReader

if TYPE_CHECKING:
    from tulle.actors.proxy.pool import Endpoint
    from tulle.actors.proxy.sending import Sending


class UpstreamConnection(asyncio.Protocol):
    """Carries the exchange that it is given; its pool gives it out and takes it back."""

    __slots__ = (
        "_eof",
        "_reading_paused",
        "endpoint",
        "epoch",
        "exchange",
        "generation",
        "idle_since",
        "joined",
        "reader",
        "reused",
        "served",
        "slot",
        "transport",
        "turn",
        "writing_paused",
    )

    transport: asyncio.Transport

    def __init__(self, endpoint: "Endpoint", generation: int) -> None:
        self.endpoint = endpoint
        self.generation = generation  # of the identity that it was made with
        self.epoch = endpoint.epoch
        self.exchange: Sending | None = None
        self.turn = -1  # of the outbox, in which the exchange's request was written
        self.reader = ResponseReader()
        self.reused = False
        self.served = 0  # requests, where they are limited
        self.joined = False  # it was given to its endpoint
        self.idle_since = 0.0
        self.slot = NOT_ARMED
        self.writing_paused = False
        self._reading_paused = False
        self._eof = False

    # Called by the exchange.

    def pause_reading(self) -> None:
        """The client does not keep up."""
        if not self._reading_paused and not self.transport.is_closing():
            self._reading_paused = True
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        """The client keeps up again, or the exchange is over."""
        if self._reading_paused and not self.transport.is_closing():
            self._reading_paused = False
            self.transport.resume_reading()

    def let_go(self, keep: bool) -> None:
        """The exchange is over; the connection goes back into its pool if it may."""
        self.exchange = None
        if self._reading_paused:
            self.resume_reading()
        if keep and self.reader.is_idle() and not self._eof and not self.writing_paused:
            self.reused = True
            self.endpoint.take_back(self)
        else:
            self.endpoint.lost(self)
            self.transport.abort()

    # Called by the loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        exchange = self.exchange
        if exchange is None:
            # An answer that nobody asked for: nothing on this connection can be trusted now.
            self.endpoint.lost(self)
            self.transport.abort()
            return
        if self.turn == exchange.client.outbox.turn:
            # Neither is this: it came before the request has left.
            self.exchange = None
            self.endpoint.lost(self)
            self.transport.abort()
            exchange.upstream_lost()
            return
        self.reader.feed(data)
        if self.exchange is exchange:
            exchange.answered = True
            exchange.flush_response()

    def eof_received(self) -> None:
        self._eof = True
        self.endpoint.lost(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.endpoint.closed(self)
        exchange = self.exchange
        if exchange is None:
            return
        if self._eof and exc is None and self.reader.close():
            return
        self.exchange = None
        exchange.upstream_lost()

    def pause_writing(self) -> None:
        self.writing_paused = True
        if self.exchange is not None:
            self.exchange.upstream_full(True)

    def resume_writing(self) -> None:
        self.writing_paused = False
        if self.exchange is not None:
            self.exchange.upstream_full(False)

    # Called by the wheel.

    def on_time(self, now: float) -> float | None:
        """Closes the connection when it was idle in its pool for too long."""
        if self.exchange is not None:
            return now + self.endpoint.idle_seconds
        due = self.idle_since + self.endpoint.idle_seconds
        if now < due:
            return due
        self.endpoint.lost(self)
        self.transport.close()
        return None
