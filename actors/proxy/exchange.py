"""The life of one request: admitted by an edge, sent to an endpoint, answered, counted.

Between a `ClientConnection` and an `UpstreamConnection`; callbacks only, no coroutine and no timer
of its own. What an edge decides, it tells by one call: `forward`, `refuse`, or `park` for later.
Here: the answer and the client; sending.py, trying.py and routed.py are about the way there.
"""

from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Final

from tulle.actors.proxy.accesslog import CLIENT_GONE, DIRECT_RESPONSE, VIA_UPSTREAM
from tulle.actors.proxy.routed import Routed
from tulle.actors.proxy.stats import NO_FLAG, Recorder
from tulle.actors.proxy.wire.body import LAST_CHUNK, chunk_head
from tulle.actors.proxy.wire.compose import (
    CHUNKED_LINE,
    CLOSE_LINE,
    KEEP_ALIVE_LINE,
    failed_line,
    informational_head,
    local_answer,
    reason_lines,
    reason_text,
    request_head,
    response_head,
)
from tulle.actors.proxy.wire.request_head import RequestHead
from tulle.actors.proxy.wire.response_head import ResponseHead
from tulle.policies.decide.plan import LocalAnswer
from tulle.policies.reasons import (
    CONNECT_FAILED,
    IDLE_TIMEOUT,
    ROUTE_TIMEOUT,
    UPSTREAM_PROTOCOL,
    UPSTREAM_RESET,
    Reason,
)

if TYPE_CHECKING:
    from tulle.actors.proxy.client import ClientConnection

IDLE_SECONDS: Final = 300.0  # without a byte from either side
DISCARDED_BYTES: Final = 65_536  # of a request that was answered before its end

_HEAD_END: Final = b"\r\n\r\n"
_CRLF: Final = b"\r\n"
_NEVER: Final = float("inf")


class Exchange(Routed):
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

    def park(self, seconds: float, reason: Reason, forget: "Callable[[Exchange], None]") -> None:
        """The edge decides later; if not in `seconds`, `reason` is the answer.

        `forget` is called when nothing is to be decided any more.
        """
        self._parked = forget
        self.limit(seconds, reason)
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
        flags = self.flags_with(reason.flag)
        self.response_done = True
        if self.status:
            self._count_flagged(self.status, flags, reason.name)
            self.client.abort()
        else:
            text = reason_text(reason)
            lines = reason_lines(reason)
            if self.client.principal and (reason is CONNECT_FAILED or reason is UPSTREAM_RESET):
                lines.append(failed_line(reason))  # a peer may have another endpoint
            self._reply(reason.status, lines, text, flags, reason.name)

    def answer(self, answer: LocalAnswer) -> None:
        """Answers as the policy says."""
        self._drop()
        self.response_done = True
        lines = [b"%b: %b" % pair for pair in answer.headers]
        flags = self.flags_with(NO_FLAG)
        self._reply(answer.status, lines, answer.body, flags, DIRECT_RESPONSE)

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
            self._count_flagged(self.status, self.flags_with("DC"), CLIENT_GONE)

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
            return self._on_alarm_time(now, due)
        if self.response_done:  # a request that was answered before its end, which does not come
            self.client.close()
            return None
        if self.upstream is not None and self.endpoint is not None:
            self.cluster.note_failure(self.endpoint)
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
            self.informed = True
            self._out = [*self._out, informational_head(head)]

    def on_response(self, head: ResponseHead, body: bytes, ended: bool) -> None:
        if self.screened or head.failed:
            passed = self.screen(head, ended)
            if passed is None:
                return
            head = passed
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
        if self.endpoint is not None:
            self.cluster.note_failure(self.endpoint)
        self.refuse(UPSTREAM_PROTOCOL)

    # From the other parts.

    def limit(self, seconds: float, reason: Reason) -> None:
        """Has the request answered with `reason` in `seconds`."""
        self._deadline = self.client.limit(seconds)
        self._deadline_reason = reason

    # Inside.

    def _reply(
        self, status: int, lines: list[bytes], text: bytes, flags: str, details: str
    ) -> None:
        """Counts and writes a whole answer of our own."""
        self.status = status
        self.keep = self._may_keep() and (self.request_done or self._may_discard())
        if self._edit is not None:
            lines = self._edit(lines)
        has_body = self.head.method != b"HEAD"
        reply = local_answer(status, lines, text, self._connection_line(), has_body)
        self.head_sent = reply.index(_HEAD_END) + len(_HEAD_END)
        self.body_sent = len(reply) - self.head_sent
        self._count_flagged(status, flags, details)
        self.client.outbox.write(self.client.transport, reply)
        if self.request_done or not self.keep:
            self.client.finished(self)
        else:
            self.client.hold_body(False)

    def _on_alarm_time(self, now: float, due: float) -> float | None:
        """As `on_time`, before the request's time is over."""
        alarm = self._on_alarm
        if alarm is None:
            return due
        if now < self._alarm:
            return min(due, self._alarm)
        self._on_alarm = None
        alarm()  # which may end this exchange, or set another alarm
        return None if self.response_done else min(due, self._alarm)

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
        milliseconds = (monotonic() - self.started) * 1_000.0
        received, flags = len(self.request) + self.body_received, NO_FLAG
        if self.marked:
            self.settle()
            flags = self.flags_with(NO_FLAG)
            self.recorder.add_flagged(self.status, flags, milliseconds, received, size)
        else:
            self.recorder.add(self.status, milliseconds, received, size)
        if self.client.log is not None:
            self.client.log.ended(self, self.status, flags, VIA_UPSTREAM, body)
        endpoint, upstream = self.endpoint, self.upstream
        assert endpoint is not None and upstream is not None
        endpoint.active -= 1
        if self.status >= 500 or endpoint.failing is not None:
            self.cluster.note_answer(endpoint, self.status)
        self.endpoint = self.upstream = None
        upstream.let_go(self._response_keeps and self.request_done)
        self.client.finished(self)

    def _drop(self) -> None:
        """Frees everything on the upstream's side."""
        if self._parked is not None:
            forget, self._parked = self._parked, None
            forget(self)
        if self.marked:
            self.settle()
        self.drop()
        self._out = []

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
