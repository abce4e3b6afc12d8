"""The life of one request: admitted by an edge, sent to an endpoint, answered, counted.

Between a `ClientConnection` and an `UpstreamConnection`; callbacks only, no coroutine and no timer
of its own. What an edge decides, it tells by one call: `forward`, `refuse`, or `park` for later.
"""

from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Final

from tulle.actors.proxy.accesslog import CLIENT_GONE, VIA_UPSTREAM
from tulle.actors.proxy.cluster import Cluster
from tulle.actors.proxy.sending import Sending
from tulle.actors.proxy.stats import NO_FLAG, Recorder
from tulle.actors.proxy.wire.body import LAST_CHUNK, chunk_head
from tulle.actors.proxy.wire.compose import (
    CHUNKED_LINE,
    CLOSE_LINE,
    KEEP_ALIVE_LINE,
    informational_head,
    local_reply,
    request_head,
    response_head,
)
from tulle.actors.proxy.wire.request_head import RequestHead
from tulle.actors.proxy.wire.response_head import ResponseHead
from tulle.policies.reasons import IDLE_TIMEOUT, ROUTE_TIMEOUT, UPSTREAM_PROTOCOL, Reason

if TYPE_CHECKING:
    from tulle.actors.proxy.client import ClientConnection

IDLE_SECONDS: Final = 300.0  # without a byte from either side
DISCARDED_BYTES: Final = 65_536  # of a request that was answered before its end

_HEAD_END: Final = b"\r\n\r\n"
_CRLF: Final = b"\r\n"
_NEVER: Final = float("inf")


class Exchange(Sending):
    """One request and its response. `status` is 0 until a response has begun."""

    __slots__ = ("_response_keeps", "keep", "response_done", "started", "status", "touched")

    _response_keeps: bool

    head_sent = 0  # bytes of the response, counted while it is on its way
    body_sent = 0
    _out: list[bytes] = []  # noqa: RUF012 - of the response, not yet written; never changed here
    _chunk_response = False
    _parked: "Callable[[Exchange], None] | None" = None
    _deadline = _NEVER
    _deadline_reason = ROUTE_TIMEOUT

    def __init__(self, client: "ClientConnection", head: RequestHead, recorder: Recorder) -> None:
        super().__init__(client, head, recorder)
        self.started = monotonic()
        self.touched = client.wheel.now
        self.response_done = False
        self.status = 0
        self.keep = False  # the client's connection, after this

    # What the edge decides.

    def forward(
        self,
        cluster: Cluster,
        timeout: float | None,
        added: list[bytes],
        recorder: Recorder | None = None,
    ) -> None:
        """Sends the request, with the header lines `added`, to an endpoint of `cluster`.

        `timeout` in seconds. `recorder` counts it, if the endpoint has none of its own.
        """
        self.cluster = cluster
        self.recorder = recorder or cluster.unrouted
        if not self.head.authority:  # HTTP/1.0 may lack it, HTTP/1.1 upstream may not
            self.head.authority = cluster.config.host.encode()
        self.request = request_head(self.head, added)
        if timeout is not None:
            self._limit(timeout, ROUTE_TIMEOUT)
        if not self.send():
            self.refuse(cluster.refusal)

    def park(self, seconds: float, reason: Reason, forget: "Callable[[Exchange], None]") -> None:
        """The edge decides later; if not in `seconds`, `reason` is the answer.

        `forget` is called when nothing is to be decided any more.
        """
        self._parked = forget
        self._limit(seconds, reason)
        self.hold_body()

    def unpark(self) -> None:
        """The edge decides now."""
        self._parked = None
        self._deadline = _NEVER
        self.later()

    def refuse(self, reason: Reason) -> None:
        """Answers locally, or ends the connection when the answer has begun."""
        if self.response_done:
            return
        self._drop()
        self.response_done = True
        if self.status:
            self._count_flagged(self.status, reason.flag, reason.name)
            self.client.abort()
            return
        self.status = reason.status
        self.keep = self._may_keep() and (self.request_done or self._may_discard())
        reply = local_reply(reason, self._connection_line(), self.head.method != b"HEAD")
        self.head_sent = reply.index(_HEAD_END) + len(_HEAD_END)
        self.body_sent = len(reply) - self.head_sent
        self._count_flagged(reason.status, reason.flag, reason.name)
        self.client.outbox.write(self.client.transport, reply)
        if self.request_done or not self.keep:
            self.client.finished(self)
        else:
            self.client.hold_body(False)

    # From the client.

    def on_request_data(self, data: bytes) -> None:
        """A piece of the request's body; `flush_request` follows."""
        if self.response_done:
            return
        self.touched = self.client.wheel.now
        self.add_body(data)

    def on_request_end(self) -> None:
        """The request is complete."""
        self.request_done = True
        if self.response_done:
            self.client.finished(self)
        else:
            self.end_body()

    def abandon(self) -> None:
        """The client is gone."""
        if not self.response_done:
            self.response_done = True
            self._drop()
            self._count_flagged(self.status, "DC", CLIENT_GONE)

    def client_full(self, full: bool) -> None:
        """The client's write buffer is over its mark, or under it again."""
        upstream = self.upstream
        if upstream is not None:
            if full:
                upstream.pause_reading()
            else:
                self.touched = self.client.wheel.now
                upstream.resume_reading()

    def on_time(self, now: float) -> float | None:
        """When to be asked again; None: a time-out ended the exchange."""
        due = min(self._deadline, self.touched + IDLE_SECONDS)
        if now < due:
            return due
        if self.response_done:  # a request that was answered before its end, which does not come
            self.client.close()
            return None
        self.refuse(self._deadline_reason if now >= self._deadline else IDLE_TIMEOUT)
        return None

    # From the upstream connection.

    def flush_response(self) -> None:
        """Writes what one read of the upstream brought."""
        out = self._out
        if out:
            self.touched = self.client.wheel.now
            self._out = []
            self.client.outbox.write(self.client.transport, out)

    # From the upstream's reader.

    def on_informational(self, head: ResponseHead) -> None:
        if self.head.minor:
            self._out = [*self._out, informational_head(head)]

    def on_response(self, head: ResponseHead, body: bytes, ended: bool) -> None:
        client, client_head = self.client, self.head
        self.status = head.status
        self._response_keeps = head.keep_alive
        self.keep = keep = self.request_done and client_head.keep_alive and not client.edge.draining
        if head.length >= 0 and keep and client_head.minor:
            framing = b""
        else:
            framing = self._frame(head.length)
        data = response_head(head, framing, body)
        size = len(data)
        if self._out:
            data = b"".join([*self._out, data])
        if ended:
            client.outbox.write(client.transport, data)
            self._complete(size, len(body))
        else:
            self.body_sent = len(body)
            self.head_sent = size - self.body_sent
            self._out = [data]

    def on_data(self, data: bytes) -> None:
        self.body_sent += len(data)
        if self._chunk_response:
            self._out += (chunk_head(len(data)), data, _CRLF)
        else:
            self._out.append(data)

    def on_end(self) -> None:
        if self._chunk_response:
            self._out.append(LAST_CHUNK)
        self.client.outbox.write(self.client.transport, self._out)
        self._complete(self.head_sent + self.body_sent, self.body_sent)

    def on_flaw(self, detail: str) -> None:
        self.refuse(UPSTREAM_PROTOCOL)

    # Inside.

    def _frame(self, length: int) -> bytes:
        """The framing headers of a response that is not of the simplest kind."""
        framing = b""
        if length < 0 and self.head.minor:
            self._chunk_response = True
            framing = CHUNKED_LINE
        elif length < 0:
            self.keep = False  # HTTP/1.0 knows no chunks: the end is the connection's
        return framing + self._connection_line()

    def _complete(self, size: int, body: int) -> None:
        """The response is on its way to the client, `size` bytes, of which `body` are its body."""
        self.response_done = True
        self.recorder.add(
            self.status,
            (monotonic() - self.started) * 1_000.0,
            len(self.request) + self.body_received,
            size,
        )
        if self.client.log is not None:
            self.client.log.ended(self, self.status, NO_FLAG, VIA_UPSTREAM, body)
        endpoint, upstream = self.endpoint, self.upstream
        assert endpoint is not None and upstream is not None
        endpoint.active -= 1
        self.endpoint = self.upstream = None
        upstream.let_go(self._response_keeps and self.request_done)
        self.client.finished(self)

    def _drop(self) -> None:
        """Frees everything on the upstream's side."""
        if self._parked is not None:
            forget, self._parked = self._parked, None
            forget(self)
        self.drop()
        self._out = []

    def _limit(self, seconds: float, reason: Reason) -> None:
        self._deadline = self.client.limit(seconds)
        self._deadline_reason = reason

    def _may_keep(self) -> bool:
        return self.head.keep_alive and not self.client.edge.draining

    def _may_discard(self) -> bool:
        """The rest of the request is worth reading, and it is certain that it comes."""
        return 0 < self.head.length <= DISCARDED_BYTES and b"expect" not in self.head.noted

    def _connection_line(self) -> bytes:
        if not self.keep:
            return CLOSE_LINE
        return b"" if self.head.minor else KEEP_ALIVE_LINE

    def _count_flagged(self, status: int, flag: str, details: str) -> None:
        self.recorder.add_flagged(
            status,
            flag,
            (monotonic() - self.started) * 1_000.0,
            len(self.request or request_head(self.head, [])) + self.body_received,
            self.head_sent + self.body_sent,
        )
        if self.client.log is not None:
            self.client.log.ended(self, status, flag, details, self.body_sent)
