"""What a route asks for besides its cluster: faults, edits, rewrites, answers of its own.

Counterpart: policies/decide/plan.py. In this order: delay, abort, answer, edits of the request; the
edits of the response hold for answers of our own as well.
"""

from abc import abstractmethod
from typing import Final

from tulle.actors.proxy.cluster import Cluster
from tulle.actors.proxy.stats import Recorder
from tulle.actors.proxy.trying import Trying
from tulle.actors.proxy.wire.compose import request_head
from tulle.actors.proxy.wire.request_head import RequestHead
from tulle.actors.proxy.wire.response_head import ResponseHead
from tulle.policies.decide.plan import (
    DEFAULT_RETRY,
    Asked,
    EditRequest,
    EditResponse,
    LocalAnswer,
    Plan,
)
from tulle.policies.decide.route import Choice
from tulle.policies.reasons import ROUTE_TIMEOUT, Reason, fault_injected

DEFAULT_PORT: Final = 80


class Routed(Trying):
    """A request whose route is chosen. `screened`: responses are looked at before they are sent."""

    __slots__ = ()

    screened = False
    original_path = b""  # if it was rewritten
    _edit: EditResponse | None = None
    _delayed = False
    _limited = False

    def forward(
        self, choice: Choice[Cluster], added: list[bytes], recorder: Recorder | None = None
    ) -> None:
        """Does what the route says: sends the request, with the header lines `added`.

        `recorder` counts it, if the endpoint has none of its own.
        """
        self.choice = choice
        if choice.plan is not None and self._detour(choice.plan, added, recorder):
            return
        cluster = choice.cluster
        assert cluster is not None
        self.cluster = cluster
        self.recorder = recorder or cluster.unrouted
        if not self.head.authority:  # HTTP/1.0 may lack it, HTTP/1.1 upstream may not
            self.head.authority = cluster.config.host.encode()
        self.request = request_head(self.head, added)
        if choice.timeout is not None and not self._limited:
            self.limit(choice.timeout, ROUTE_TIMEOUT)
        if not self.send():
            self.refuse(cluster.refusal)
        elif choice.retry is not DEFAULT_RETRY:
            self.screened = self.screened or bool(choice.retry.statuses)
            self.adopt(choice.retry)

    @abstractmethod
    def limit(self, seconds: float, reason: Reason) -> None:
        """Has the request answered with `reason` in `seconds`."""

    @abstractmethod
    def answer(self, answer: LocalAnswer) -> None:
        """Answers locally."""

    def screen(self, head: ResponseHead, ended: bool) -> ResponseHead | None:
        """A response as the client gets it; None: it was not for the client."""
        if head.failed and self.retries_failed(head, ended):
            return None
        if self.retries_status(head, ended):
            return None
        return head if self._edit is None else head.edited(self._edit(head.lines))

    # Inside.

    def _detour(self, plan: Plan, added: list[bytes], recorder: Recorder | None) -> bool:
        """Follows the plan; True: as far as it goes, False: it is to be sent now."""
        cluster = self.choice.cluster
        if cluster is not None:
            self.cluster = cluster
            self.recorder = recorder or cluster.unrouted
        self._edit = plan.edit_response
        self.screened = plan.edit_response is not None
        uniform = self.client.edge.uniform
        if plan.delay_share and not self._delayed and uniform() < plan.delay_share:
            self._delay(plan.delay, added, recorder)
        elif plan.abort_share and uniform() < plan.abort_share:
            self.refuse(fault_injected(plan.abort_status))
        elif plan.answer is not None:
            self.answer(plan.answer(self._asked()))
        else:
            self._edit_request(plan, added)
            return False
        return True

    def _delay(self, seconds: float, added: list[bytes], recorder: Recorder | None) -> None:
        """Goes on in `seconds`; the route's time-out runs already."""
        self._delayed = True
        self.flag("DI")
        if self.choice.timeout is not None:
            self._limited = True
            self.limit(self.choice.timeout, ROUTE_TIMEOUT)
        self.later()
        self.hold_body()
        self.set_alarm(seconds, lambda: self.forward(self.choice, added, recorder))

    def _asked(self) -> Asked:
        head, client = self.head, self.client
        port = client.edge.port or head.host.port or DEFAULT_PORT
        return Asked("https" if client.encrypted else "http", head.authority, head.path, port)

    def _edit_request(self, plan: Plan, added: list[bytes]) -> None:
        head = self.head
        if plan.rewrite_path is not None:
            self.original_path = head.path
            head.path = plan.rewrite_path(head.path)
        if plan.authority:
            head.authority = plan.authority
        if plan.edit_request is not None:
            head.replace(_edited(plan.edit_request, head, added))


def _edited(edit: EditRequest, head: RequestHead, added: list[bytes]) -> list[tuple[bytes, bytes]]:
    """Headers after an edit, which also sees the lines that were to be added."""
    lines = [line for lines in (*added, head.made) for line in lines.split(b"\r\n") if line]
    added.clear()
    head.made = b""
    fields = [line.partition(b": ") for line in lines]
    return edit([*head.headers, *((name, value) for name, _, value in fields)])
