"""What a route asks for besides its cluster, specialised once: faults, edits, answers, retries.

Counterparts: `route.py`, whose choices carry it; the proxy's exchange, which carries it out. A
route that asks for nothing has no plan, and costs nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tulle.policies.decide.match import Headers

EditRequest = Callable[[Headers], Headers]
"""Headers of a request (names in lower case) -> those to send; never changes its argument."""

EditResponse = Callable[[list[bytes]], list[bytes]]
"""Header lines of a response as they came, without CRLF -> those to send."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Of a request, what a redirect is made from. `path` has the query; `port` is the listener's
    as policies write it, or the one of the request's URL."""

    scheme: str
    authority: bytes
    path: bytes
    port: int


@dataclass(frozen=True, slots=True)
class LocalAnswer:
    """An answer of the policy's own. `headers` without framing."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...] = ()
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Retry:
    """When and how often a request is tried again.

    `statuses`: codes of the upstream that are retried. `idempotent_only`: other methods are tried
    again only when nothing of them was sent. `per_try` in seconds.
    """

    attempts: int
    per_try: float | None = None
    on_connect_failure: bool = True
    on_reset: bool = True  # before the first byte of a response
    statuses: frozenset[int] = frozenset()
    idempotent_only: bool = False


DEFAULT_RETRY: Final = Retry(2, idempotent_only=True)
"""Of a route that says nothing (design, section 4)."""

NO_RETRY: Final = Retry(0)
"""Of what is tried once."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Times in seconds, shares from 0 to 1; None and 0: not asked for.

    `answer` makes the whole answer, no endpoint is asked. `rewrite_path` takes and gives the path
    with its query.
    """

    delay: float = 0.0
    delay_share: float = 0.0
    abort_status: int = 0
    abort_share: float = 0.0
    answer: Callable[[Asked], LocalAnswer] | None = None
    rewrite_path: Callable[[bytes], bytes] | None = None
    authority: bytes = b""
    edit_request: EditRequest | None = None
    edit_response: EditResponse | None = None
