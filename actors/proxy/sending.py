"""The way of a request to an endpoint: picked, waited for, written, and kept to be written again.

The lowest part of an `Exchange`. Above it: trying.py (what happens when that fails), routed.py
(what a route asks for besides), exchange.py (the answer and the client).
"""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Final

from tulle.actors.proxy.cluster import Cluster
from tulle.actors.proxy.pool import Endpoint
from tulle.actors.proxy.stats import Recorder
from tulle.actors.proxy.upstream import UpstreamConnection
from tulle.actors.proxy.wire.body import CHUNKED, LAST_CHUNK, chunk_head
from tulle.actors.proxy.wire.request_head import RequestHead
from tulle.actors.proxy.wire.response_head import ResponseHead
from tulle.policies.decide.route import Choice
from tulle.policies.reasons import Reason

if TYPE_CHECKING:
    from tulle.actors.proxy.client import ClientConnection

KEPT_BYTES: Final = 65_536  # of a request's body as it goes upstream, to send it once more

_CRLF: Final = b"\r\n"


class Sending(ABC):
    """A request on its way. `request` is its head as it goes upstream, empty until it does."""

    __slots__ = (
        "__dict__",  # for what only few requests need; its first values are in the class
        "choice",
        "client",
        "cluster",
        "endpoint",
        "head",
        "recorder",
        "request",
        "request_done",
        "upstream",
    )

    choice: Choice[Cluster]
    cluster: Cluster

    body_received = 0  # bytes of the request's body
    answered = False  # a byte of a response came, and it was not all
    _pending: list[bytes] = []  # noqa: RUF012 - not yet written; never changed here
    _kept: list[bytes] | None = None  # what was written of the body; None: not all of it is here
    _kept_bytes = 0
    _tried: tuple[Endpoint, ...] = ()
    _later = False  # it is not sent in the very read that brought it

    def __init__(self, client: "ClientConnection", head: RequestHead, recorder: Recorder) -> None:
        self.client = client
        self.head = head
        self.recorder = recorder
        self.request = b""
        self.endpoint: Endpoint | None = None
        self.upstream: UpstreamConnection | None = None
        if head.length:
            self.request_done = False
            self._pending = []
            if head.length <= KEPT_BYTES:
                self._kept = []
        else:
            self.request_done = True

    @abstractmethod
    def refuse(self, reason: Reason) -> None:
        """Answers locally."""

    @abstractmethod
    def connect_failed(self, reason: Reason) -> None:
        """The endpoint has no connection for this request."""

    @abstractmethod
    def upstream_lost(self) -> None:
        """The connection ended before the response did."""

    # As the sink of the upstream's reader.

    @abstractmethod
    def on_informational(self, head: ResponseHead) -> None: ...
    @abstractmethod
    def on_response(self, head: ResponseHead, body: bytes, ended: bool) -> None: ...
    @abstractmethod
    def on_data(self, data: bytes) -> None: ...
    @abstractmethod
    def on_end(self) -> None: ...
    @abstractmethod
    def on_flaw(self, detail: str) -> None: ...
    @abstractmethod
    def flush_response(self) -> None: ...

    # From the client.

    def add_body(self, data: bytes) -> None:
        """A piece of the body; `flush_request` follows."""
        self.body_received += len(data)
        if self.head.length == CHUNKED:
            self._pending += (chunk_head(len(data)), data, _CRLF)
        else:
            self._pending.append(data)

    def end_body(self) -> None:
        """The body is complete; `flush_request` follows."""
        if self.head.length == CHUNKED:
            self._pending.append(LAST_CHUNK)

    def flush_request(self) -> None:
        """Writes what is pending, in one go; holds the client back while nothing can be written."""
        upstream = self.upstream
        if upstream is None:
            self.hold_body()
        elif self._pending:
            pending, self._pending = self._pending, []
            if self._kept is not None:
                self._keep(pending)
            self.client.outbox.write(upstream.transport, pending)

    def hold_body(self) -> None:
        """Reads no more of the body until there is a connection for it."""
        if not self.request_done or self._pending:
            self.client.hold_body(True)

    def later(self) -> None:
        """From now on the request is not sent in the very read that brought it."""
        self._later = True

    # From the endpoint.

    def connected(self, upstream: UpstreamConnection) -> None:
        """A connection for this request."""
        self._send(upstream)

    # From the upstream connection.

    def upstream_full(self, full: bool) -> None:
        """The upstream's write buffer is over its mark, or under it again."""
        self.client.hold_body(full)

    # From the other parts.

    def send(self) -> bool:
        """Sends to an endpoint that was not tried yet; False when there is none."""
        endpoint = self.cluster.pick(self._tried)
        if endpoint is None:
            return False
        self.endpoint = endpoint
        endpoint.active += 1
        if endpoint.recorder is not None:
            self.recorder = endpoint.recorder
        if endpoint.idle:
            self._send(endpoint.idle.pop())
        else:
            self.wait()
        return True

    def wait(self) -> None:
        """Waits for a connection of the endpoint."""
        assert self.endpoint is not None
        if self.endpoint.wait(self):
            self._later = True
            self.hold_body()
        else:
            self.refuse(self.endpoint.overflow)

    @property
    def asked(self) -> Endpoint | None:
        """Who is asked, or was last."""
        return self.endpoint or (self._tried[-1] if self._tried else None)

    @property
    def whole(self) -> bool:
        """All of the request that was written is still here."""
        return not self.head.length or self._kept is not None

    def rewind(self) -> None:
        """What was written of the body is pending again. Without effect if it is not `whole`."""
        if self._kept:
            self._pending = [*self._kept, *self._pending]
            self._kept = []
            self._kept_bytes = 0

    def leave(self) -> None:
        """Frees endpoint and connection, which both are done for this try."""
        upstream, endpoint = self.upstream, self.endpoint
        self.upstream = self.endpoint = None
        if endpoint is not None:
            endpoint.active -= 1
            endpoint.forget(self)
            self._tried += (endpoint,)
        if upstream is not None:
            upstream.let_go(keep=False)

    def drop(self) -> None:
        """Frees endpoint and connection; nothing more is sent."""
        self.leave()
        self._pending = []
        self._kept = None

    # Inside.

    def _send(self, upstream: UpstreamConnection) -> None:
        self.upstream = upstream
        upstream.exchange = self
        upstream.turn = self.client.outbox.turn
        upstream.reader.expect(self, self.head.method)
        if self.client.full:  # which it said while there was no upstream to slow down
            upstream.pause_reading()
        if not self.head.length:
            self.client.outbox.write(upstream.transport, self.request)
            return
        self._pending.insert(0, self.request)  # written with the body's first piece
        if self._later:
            self.flush_request()
            self.client.hold_body(False)

    def _keep(self, written: list[bytes]) -> None:
        """Remembers what is written of the body, as long as it is small."""
        assert self._kept is not None
        pieces = written[1:] if written[0] is self.request else written
        self._kept_bytes += sum(map(len, pieces))
        if self._kept_bytes > KEPT_BYTES:
            self._kept = None
        else:
            self._kept += pieces
