"""A connection from a client: reads requests, one exchange at a time, in order."""

import asyncio
from collections.abc import Callable
from typing import Final, Protocol, cast

from tulle.actors.proxy.accesslog import ConnectionLog
from tulle.actors.proxy.ends import PlainEnd, reset
from tulle.actors.proxy.exchange import Exchange
from tulle.actors.proxy.outbox import Outbox
from tulle.actors.proxy.stats import Recorder
from tulle.actors.proxy.wheel import NOT_ARMED, Wheel
from tulle.actors.proxy.wire.compose import CLOSE_LINE, local_reply
from tulle.actors.proxy.wire.request import RequestReader
from tulle.actors.proxy.wire.request_head import RequestHead
from tulle.policies.reasons import REQUEST_TIMEOUT, Reason

HEAD_SECONDS: Final = 60.0
KEEP_ALIVE_SECONDS: Final = 300.0
LINGER_SECONDS: Final = 2.0  # for what a client still sends, after an answer that ended it all
CLOSE_SECONDS: Final = 60.0  # for a client to read what was written before the close


def forwarded_lines(addresses: bytes, scheme: bytes = b"http") -> bytes:
    """What a gateway says about its clients, the nearest last."""
    return b"x-forwarded-for: %b\r\nx-forwarded-proto: %b" % (addresses, scheme)


class Edge(Protocol):
    """Decides about requests of one listener. Of `draining` edges each answer is the last.

    `port` as policies write the listener's, 0: each request's URL says it. `uniform` draws a number
    in [0, 1).
    """

    @property
    def draining(self) -> bool: ...
    @property
    def unrouted(self) -> Recorder: ...
    @property
    def port(self) -> int: ...
    @property
    def uniform(self) -> Callable[[], float]: ...

    def greet(self, client: "ClientConnection") -> bool:
        """A client connected; False: not one to talk to."""

    def part(self, client: "ClientConnection") -> None:
        """A connection is gone."""

    def admit(self, exchange: Exchange) -> None:
        """Decides: calls `forward`, `refuse` or `park`."""

    def connect(self, exchange: Exchange) -> None:
        """Decides about a CONNECT: `refuse` or `park`, and then a tunnel takes the client."""


class ClientConnection(asyncio.Protocol):
    """The sink of its reader; hands each request to its edge as an `Exchange`."""

    __slots__ = (
        "_began",
        "_exchange",
        "_held",
        "_in_head",
        "_lingers",
        "_reader",
        "_reading_paused",
        "_waiting_body",
        "edge",
        "forwarded",
        "full",
        "log",
        "outbox",
        "peername",
        "principal",
        "slot",
        "sni",
        "transport",
        "wheel",
    )

    transport: asyncio.Transport

    def __init__(self, edge: Edge, wheel: Wheel, outbox: Outbox) -> None:
        self.edge = edge
        self.wheel = wheel
        self.outbox = outbox
        self.slot = NOT_ARMED
        self.peername = b""  # address of the client
        self.forwarded = b""  # the header lines about the client that its edge adds
        self.log: ConnectionLog | None = None  # if requests are logged
        self.principal = ""  # the SPIFFE id that the client proved
        self.sni = ""  # the server that its TLS hello asked for
        self._reader = RequestReader(self)
        self._exchange: Exchange | None = None
        self._began = 0.0  # when the head began, or the wait for it
        self.full = False  # the client does not keep up
        self._held = False  # requests wait in the reader
        self._waiting_body = False  # the upstream does not keep up
        self._reading_paused = False
        self._in_head = False
        self._lingers = False

    # Called by the exchange.

    def hold_body(self, hold: bool) -> None:
        """Reads no more of the request's body for now, or again."""
        if hold is not self._waiting_body:
            self._waiting_body = hold
            self._update_reading()

    def limit(self, seconds: float) -> float:
        """Has the exchange asked in `seconds`; that time."""
        deadline = self.wheel.after(seconds)
        self.wheel.arm(self, deadline)
        return deadline

    def finished(self, exchange: Exchange) -> None:
        """The exchange is over: goes on to the next request, or closes."""
        self._exchange = None
        self._began = self.wheel.now
        self._in_head = False
        if self._waiting_body:
            self.hold_body(False)
        if not exchange.keep:
            self._close(exchange.request_done)
        elif self._held and not self.full:
            self._proceed()
        elif not self.full:
            self._reader.proceed()

    def abort(self) -> None:
        """Resets the connection: what was sent must not pass for a whole response."""
        self._reader.stop()
        reset(self.transport)

    def hand_over(self, end: PlainEnd) -> None:
        """The exchange was a CONNECT, and the connection belongs to a tunnel from now on."""
        self._exchange = None
        held, paused = self._reader.held, self._reading_paused
        self._reader.stop()
        self.wheel.disarm(self)
        self.edge.part(self)
        end.adopt(self.transport, held, paused)

    # Called by the drain.

    @property
    def encrypted(self) -> bool:
        """Whether it came with TLS."""
        return self.transport.get_extra_info("ssl_object") is not None

    @property
    def idle(self) -> bool:
        """No request is under way."""
        return self._exchange is None

    def close(self) -> None:
        """Closes the connection, after what is written already."""
        self._began = self.wheel.now
        self._reader.stop()
        self.outbox.close(self.transport.close)

    # Called by the loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        address = transport.get_extra_info("peername")
        self.peername = str(address[0]).encode() if isinstance(address, tuple) else b"unknown"
        self.forwarded = forwarded_lines(self.peername)
        if not self.edge.greet(self):
            self.transport.abort()
            return
        self._began = self.wheel.after(0)
        self.wheel.arm(self, self._began + HEAD_SECONDS)

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        exchange = self._exchange
        if exchange is None:
            self._note_head()
        elif exchange.head.length and not exchange.response_done:
            exchange.flush_request()
        if self._reader.held:
            self._hold_requests()

    def connection_lost(self, exc: Exception | None) -> None:
        self.edge.part(self)
        self.wheel.disarm(self)
        self._reader.stop()
        if self._exchange is not None:
            exchange, self._exchange = self._exchange, None
            exchange.abandon()

    def pause_writing(self) -> None:
        self.full = True
        if self._exchange is not None:
            self._exchange.client_full(True)

    def resume_writing(self) -> None:
        self.full = False
        if self._exchange is not None:
            self._exchange.client_full(False)
        else:
            self._proceed()

    # Called by the reader.

    def on_request(self, head: RequestHead) -> None:
        edge = self.edge
        self._exchange = exchange = Exchange(self, head, edge.unrouted)
        edge.admit(exchange)

    def on_connect(self, head: RequestHead) -> None:
        head.keep_alive = False
        self._exchange = exchange = Exchange(self, head, self.edge.unrouted)
        self.edge.connect(exchange)

    def on_data(self, data: bytes) -> None:
        if self._exchange is not None:
            self._exchange.on_request_data(data)

    def on_end(self) -> None:
        exchange = self._exchange
        if exchange is not None and not exchange.request_done:
            exchange.on_request_end()

    def on_refused(self, reason: Reason, detail: str) -> None:
        exchange = self._exchange
        if exchange is None:
            self._refuse(reason)
        elif exchange.response_done:
            self._exchange = None
            self._close(False)
        else:
            exchange.head.keep_alive = False
            exchange.refuse(reason)

    # Called by the wheel.

    def on_time(self, now: float) -> float | None:
        """Ends what takes too long."""
        if self._lingers or self.transport.is_closing():
            return self._on_time_closing(now)
        if self._exchange is not None:
            return self._exchange.on_time(now) or now + LINGER_SECONDS
        due = self._began + (HEAD_SECONDS if self._in_head else KEEP_ALIVE_SECONDS)
        if now < due:
            return due
        if self._in_head:
            self._refuse(REQUEST_TIMEOUT)
        else:
            self.close()
        return now + LINGER_SECONDS

    # Inside.

    def _on_time_closing(self, now: float) -> float | None:
        reads = self.transport.get_write_buffer_size() > 0
        due = self._began + (CLOSE_SECONDS if reads else LINGER_SECONDS)
        if now < due:
            return min(due, now + LINGER_SECONDS)
        self.transport.abort()
        return None

    def _proceed(self) -> None:
        """Goes on with what was held back, which no further read of the client brings about."""
        self._reader.proceed()
        exchange = self._exchange
        if exchange is None:
            self._note_head()
        elif exchange.head.length and not exchange.response_done:
            exchange.flush_request()
        self._hold_requests()

    def _note_head(self) -> None:
        """A head that has begun has to come to its end in time."""
        if self._reader.mid_head and not self._in_head:
            self._in_head = True
            self._began = self.wheel.now
            self.wheel.arm(self, self._began + HEAD_SECONDS)

    def _hold_requests(self) -> None:
        """Reads on once nothing is held back."""
        self._held = bool(self._reader.held)
        self._update_reading()

    def _refuse(self, reason: Reason) -> None:
        """Answers what is no request."""
        reply = local_reply(reason, CLOSE_LINE, True)
        self.edge.unrouted.add_flagged(reason.status, reason.flag, 0.0, 0, len(reply))
        if self.log is not None:
            self.log.refused(reason.status, reason.flag, reason.name, len(reply))
        self.outbox.write(self.transport, reply)
        self._close(False)

    def _close(self, request_done: bool) -> None:
        """Closes; bytes that nobody reads would reset the connection and lose the answer."""
        unread = not request_done or bool(self._reader.held)
        self._began = self.wheel.now
        self._reader.stop()
        if self.transport.is_closing():
            return
        if unread and not self._lingers:
            self._lingers = True
            if self.transport.can_write_eof():  # not with TLS, which lingers all the same
                self.outbox.close(self.transport.write_eof)
            self.wheel.arm(self, self._began + LINGER_SECONDS)
        elif not self._lingers:
            self.outbox.close(self.transport.close)
        self._waiting_body = self._held = False
        self._update_reading()

    def _update_reading(self) -> None:
        pause = self._held or self._waiting_body
        if pause is not self._reading_paused and not self.transport.is_closing():
            self._reading_paused = pause
            if pause:
                self.transport.pause_reading()
            else:
                self.transport.resume_reading()
