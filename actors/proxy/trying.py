"""What happens when a try fails: another one, as the route's `Retry` allows, or the reason why not.

A request is sent again only while no byte of a response has gone to the client, and only if all of
it is still here. Each try takes an endpoint that was not tried; when none is left, the tried ones
after a short wait.
"""

from collections.abc import Callable
from typing import Final

from tulle.actors.proxy.sending import Sending
from tulle.actors.proxy.upstream import UpstreamConnection
from tulle.actors.proxy.wire.response_head import ResponseHead
from tulle.policies.decide.plan import Retry
from tulle.policies.reasons import (
    CONNECT_FAILED,
    PER_TRY_TIMEOUT,
    UPSTREAM_OVERFLOW,
    UPSTREAM_RESET,
    Reason,
)

RESENDS: Final = 2  # on another connection, when an idle one turned out to be closed
BACK_OFF_SECONDS: Final = 0.025  # before the first retry on an endpoint that was tried
BACK_OFF_LIMIT: Final = 0.25

# What may be sent twice (RFC 9110, 9.2.2).
_IDEMPOTENT: Final = frozenset({b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE"})
# In Envoy's order (access log documentation, RESPONSE_FLAGS), in which they are joined.
_FLAGS: Final = ("UH", "UT", "UF", "UC", "UO", "NR", "DI", "FI", "DC", "URX", "SI", "DPE", "UPE")

_NOT_CONNECTED: Final = CONNECT_FAILED.name.encode()
_NEVER: Final = float("inf")


def joined_flags(flags: set[str]) -> str:
    """Response flags as Envoy writes them: `UF,URX`; `-` when there is none."""
    known = [flag for flag in _FLAGS if flag in flags]
    return ",".join([*known, *sorted(flags.difference(_FLAGS, "-"))]) or "-"


class Trying(Sending):
    """The tries of one request. `marked`: there is more to count at its end than its status."""

    __slots__ = ()

    status: int

    marked = False
    informed = False  # a 1xx response went to the client
    _flags: frozenset[str] = frozenset()
    _resends = 0
    _tries = 0  # after the first
    _holds_retry = False  # of those that the cluster allows at once
    _alarm = _NEVER
    _on_alarm: Callable[[], None] | None = None

    # From the endpoint.

    def connect_failed(self, reason: Reason) -> None:
        """No connection to this endpoint: tries another one."""
        endpoint = self.endpoint
        assert endpoint is not None
        self.leave()
        if reason is UPSTREAM_OVERFLOW:
            self.refuse(reason)
            return
        self.cluster.note_failure(endpoint)
        if not (self.choice.retry.on_connect_failure and self._try_again()):
            self.refuse(reason)

    # From the upstream connection.

    def upstream_lost(self) -> None:
        """The connection ended before the response did."""
        upstream, self.upstream = self.upstream, None
        assert upstream is not None and self.endpoint is not None
        sent = self._was_sent(upstream)
        if self._may_resend(upstream, sent):
            self._resends += 1
            self.rewind()
            self.wait()
            return
        self.cluster.note_failure(self.endpoint)
        self.leave()
        tells = not self.answered and self.choice.retry.on_reset and self._may_repeat(sent)
        if not (tells and self._try_again()):
            self.refuse(UPSTREAM_RESET)

    # From the other parts.

    def adopt(self, retry: Retry) -> None:
        """The first try, of a policy that is not the default, is under way."""
        if retry.per_try is not None and self.endpoint is not None:
            self.set_alarm(retry.per_try, self._on_try_timeout)

    def retries_status(self, head: ResponseHead, ended: bool) -> bool:
        """Whether a response was not for the client: it is dropped, the request tried again.

        Its connection is kept if the response is complete, `ended`.
        """
        wanted = head.status in self.choice.retry.statuses and not self.informed
        if not wanted or not self._may_repeat(True) or not self._take_try():
            return False
        assert self.endpoint is not None
        self.cluster.note_answer(self.endpoint, head.status)
        self._drop_response(head, ended)
        return True

    def retries_failed(self, head: ResponseHead, ended: bool) -> bool:
        """As `retries_status`, of an answer by the endpoint's own sidecar: its app is gone.

        As if there were no sidecar in between: no connection to the app is none to the endpoint.
        """
        retry, endpoint = self.choice.retry, self.endpoint
        assert endpoint is not None
        if not endpoint.accounts:  # who says so has not proved that it is a sidecar
            return False
        sent = head.failed != _NOT_CONNECTED
        wanted = retry.on_reset if sent else retry.on_connect_failure
        if not wanted or not self._may_repeat(sent) or not self._take_try():
            return False
        self.cluster.note_failure(endpoint)
        self._drop_response(head, ended)
        return True

    def _drop_response(self, head: ResponseHead, ended: bool) -> None:
        upstream = self.upstream
        assert upstream is not None
        self.upstream = None
        if not ended:
            upstream.reader.stop()
        upstream.let_go(ended and head.keep_alive and self.request_done)
        self.leave()
        self._next_try()

    def set_alarm(self, seconds: float, then: Callable[[], None]) -> None:
        """Has `then` called in `seconds`, unless the request is over by then."""
        self._alarm = self.client.limit(seconds)
        self._on_alarm = then

    def flag(self, flag: str) -> None:
        """Has a response flag counted with the request."""
        self._flags |= {flag}
        self.marked = True

    def flags_with(self, flag: str) -> str:
        """All response flags of the request, with `flag`."""
        return joined_flags({*self._flags, flag})

    def settle(self) -> None:
        """The request needs no more tries."""
        self._alarm = _NEVER
        self._on_alarm = None
        limits = self.cluster.limits if self._holds_retry else None
        if limits is not None:
            self._holds_retry = False
            limits.retries -= 1

    # Inside.

    def _was_sent(self, upstream: UpstreamConnection) -> bool:
        """Whether a byte of the request may have left: not in the turn that wrote it."""
        return upstream.turn != self.client.outbox.turn

    def _may_resend(self, upstream: UpstreamConnection, sent: bool) -> bool:
        # An idle connection may be closed by its server at the moment that it is used.
        return (
            upstream.reused
            and self._resends < RESENDS
            and not self.answered
            and self.whole
            and (not sent or self.head.method in _IDEMPOTENT)
        )

    def _may_repeat(self, sent: bool) -> bool:
        """Whether the request may be sent again, and can."""
        if not self.whole or self.informed:
            return False
        idempotent_only = self.choice.retry.idempotent_only
        return not sent or not idempotent_only or self.head.method in _IDEMPOTENT

    def _try_again(self) -> bool:
        if not self._take_try():
            return False
        self._next_try()
        return True

    def _take_try(self) -> bool:
        attempts = self.choice.retry.attempts
        if self._tries >= attempts:
            if attempts:
                self.flag("URX")
            return False
        limits = self.cluster.limits
        if limits is not None and not self._holds_retry:
            if not limits.take_retry():
                self.flag("UO")
                return False
            self._holds_retry = True
        self._tries += 1
        self.marked = True
        return True

    def _next_try(self) -> None:
        self.answered = False
        self.rewind()
        self.later()
        if self.send():
            self.adopt(self.choice.retry)
            return
        # All were tried: those that are there once more, but not in a hurry.
        self._tried = ()
        self.hold_body()
        limit = min(BACK_OFF_SECONDS * (2**self._tries - 1), BACK_OFF_LIMIT)
        self.set_alarm(limit * self.client.edge.uniform(), self._after_back_off)

    def _after_back_off(self) -> None:
        if self.send():
            self.adopt(self.choice.retry)
        else:
            self.refuse(self.cluster.refusal)

    def _on_try_timeout(self) -> None:
        endpoint, upstream = self.endpoint, self.upstream
        if self.status or endpoint is None:  # a response that has begun may go on
            return
        sent = upstream is not None and self._was_sent(upstream)
        self.cluster.note_failure(endpoint)
        self.leave()
        retry = self.choice.retry
        wanted = bool(retry.on_reset or retry.statuses)
        if not (wanted and self._may_repeat(sent) and self._try_again()):
            self.refuse(PER_TRY_TIMEOUT)
