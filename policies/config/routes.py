"""Routes: what is asked of a request, where it goes, and what is done with it on the way."""

from dataclasses import dataclass
from typing import Literal

from tulle.policies.config.labels import Labels

AUTHORITY = ":authority"


@dataclass(frozen=True, slots=True)
class StringMatch:
    """`value` compared as `kind` says; `present` only asks that the header is there."""

    kind: Literal["exact", "prefix", "regex", "present"]
    value: str = ""
    ignore_case: bool = False


@dataclass(frozen=True, slots=True)
class HttpMatch:
    """All of its conditions must hold. Header names are lower case, query names as written.

    `source_labels` and `source_namespace` are of the proxy that routes, `scheme` of its listener:
    a proxy resolves them when it installs the config (decide.route.Client).
    """

    uri: StringMatch | None = None
    method: StringMatch | None = None
    authority: StringMatch | None = None
    headers: tuple[tuple[str, StringMatch], ...] = ()
    without_headers: tuple[tuple[str, StringMatch], ...] = ()
    query: tuple[tuple[str, StringMatch], ...] = ()
    scheme: StringMatch | None = None
    source_labels: Labels = ()
    source_namespace: str = ""


@dataclass(frozen=True, slots=True)
class HeaderEdits:
    """Edits of one message's headers, in this order: remove, set, add. Names are lower case.

    Set of a request, the name AUTHORITY means its authority, whatever header carries it.
    """

    remove: tuple[str, ...] = ()
    set: tuple[tuple[str, str], ...] = ()
    add: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Edits:
    """Edits of requests and of their responses."""

    request: HeaderEdits | None = None
    response: HeaderEdits | None = None


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """`attempts` more tries at most. `on`: Envoy's names of conditions; `statuses`: codes in it.

    A route without a policy has the mesh's default (decide.plan.DEFAULT_RETRY).
    """

    attempts: int
    per_try_timeout_ms: int | None = None
    on: tuple[str, ...] = ()
    statuses: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Fault:
    """Percentages from 0 to 100. A delay comes first, then the abort."""

    delay_ms: int = 0
    delay_percent: float = 0.0
    abort_status: int = 0
    abort_percent: float = 0.0


@dataclass(frozen=True, slots=True)
class Rewrite:
    """Changes the path (`value` in place of all of it, of `pattern` as a prefix or as a regular
    expression, whose groups `value` names as `\\1`) and the authority."""

    kind: Literal["", "full", "prefix", "regex"] = ""
    pattern: str = ""
    value: str = ""
    authority: str = ""


@dataclass(frozen=True, slots=True)
class Redirect:
    """Answers with `code` and a location; what is empty or 0 is the request's own.

    `prefix`: only this prefix of the path is replaced by `path`.
    """

    code: int = 301
    path: str = ""
    prefix: str = ""
    authority: str = ""
    scheme: str = ""
    port: int = 0
    derive_port: Literal["", "FROM_PROTOCOL_DEFAULT", "FROM_REQUEST_PORT"] = ""


@dataclass(frozen=True, slots=True)
class DirectResponse:
    """Answers with `status` and the base64 of a body."""

    status: int
    body: str = ""


@dataclass(frozen=True, slots=True)
class Target:
    """A share of a route's requests: `weight` of the sum of its route's weights."""

    cluster: str
    weight: int
    edits: Edits | None = None


@dataclass(frozen=True, slots=True)
class Route:
    """Taken when one of `matches` holds (none: always). `source` is `<kind>/<ns>/<name>`.

    It has targets, or answers by itself: `redirect` or `direct`.
    """

    name: str
    matches: tuple[HttpMatch, ...]
    targets: tuple[Target, ...]
    timeout_ms: int | None = None
    source: str = ""
    retry: RetryPolicy | None = None
    fault: Fault | None = None
    rewrite: Rewrite | None = None
    redirect: Redirect | None = None
    direct: DirectResponse | None = None
    edits: Edits | None = None
