"""Why a proxy answered by itself: the closed list of reasons, with status and response flag.

The name travels in `x-tulle-reason`, the flag in metrics and logs. Flags: Envoy's
access log documentation, "RESPONSE_FLAGS".
"""

from dataclasses import dataclass, replace
from functools import cache

REASON_HEADER = "x-tulle-reason"


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason: its name on the wire, HTTP status, response flag and a sentence for the body."""

    name: str
    status: int
    flag: str
    sentence: str


_ALL: dict[str, Reason] = {}


def _reason(name: str, status: int, flag: str, sentence: str) -> Reason:
    reason = Reason(name, status, flag, sentence)
    _ALL[name] = reason
    return reason


BAD_REQUEST = _reason("bad_request", 400, "DPE", "The request is not valid HTTP/1.1.")
HOST_MISSING = _reason("host_missing", 400, "DPE", "The request has no Host header.")
HOST_REPEATED = _reason("host_repeated", 400, "DPE", "The request has more than one Host header.")
HEAD_TOO_LARGE = _reason("head_too_large", 431, "DPE", "The request's head is over 64 KiB.")
TOO_MANY_HEADERS = _reason("too_many_headers", 431, "DPE", "The request has over 200 headers.")
REQUEST_TIMEOUT = _reason("request_timeout", 408, "SI", "The request's head did not come in time.")
CREDENTIAL_MISSING = _reason(
    "credential_missing",
    407,
    "-",
    "The proxy wants the credential that `tulle run` puts into http_proxy.",
)
CONNECT_NOT_SUPPORTED = _reason(
    "connect_not_supported",
    501,
    "-",
    "CONNECT reaches tcp ports of the mesh alone; use plain http:// URLs.",
)
UPGRADE_NOT_SUPPORTED = _reason(
    "upgrade_not_supported", 501, "-", "Upgrade of the protocol is not supported yet."
)
NO_GATEWAY = _reason("no_gateway", 404, "NR", "No Gateway selects this pool and port yet.")
ROUTE_NOT_FOUND = _reason("route_not_found", 404, "NR", "No route matches this request.")
TCP_PORT = _reason(
    "tcp_port", 400, "-", "The port speaks TCP, not HTTP: reach it by CONNECT to this proxy."
)
UNKNOWN_PORT = _reason("unknown_port", 404, "NR", "The service has no such port.")
PASSTHROUGH_FORBIDDEN = _reason(
    "passthrough_forbidden",
    403,
    "-",
    "The host is not of the mesh, and its address is loopback, link-local or a mesh listener.",
)
RBAC_DENIED = _reason("rbac_denied", 403, "UAEX", "An AuthorizationPolicy denies this request.")
UNKNOWN_ADDRESS = _reason("unknown_address", 502, "UF", "The host's name has no address.")
UNKNOWN_CLUSTER = _reason("unknown_cluster", 503, "NC", "The route's host does not exist.")
UNKNOWN_SUBSET = _reason(
    "unknown_subset", 503, "NC", "No DestinationRule names the route's subset."
)
CONFIG_UNAVAILABLE = _reason(
    "config_unavailable", 503, "NC", "The host's config did not arrive within 2 s."
)
NO_ENDPOINTS = _reason("no_endpoints", 503, "UH", "No workload is ready to serve this.")
IDENTITY_REFUSED = _reason(
    "identity_refused", 503, "UF", "The peer's certificate is not one of the service's accounts."
)
UPSTREAM_TLS_FAILED = _reason(
    "upstream_tls_failed", 503, "UF", "The TLS handshake with the upstream failed."
)
UPSTREAM_NEEDS_TLS = _reason(
    "upstream_needs_tls",
    503,
    "UH",
    "The port expects TLS; a DestinationRule with trafficPolicy.tls.mode SIMPLE is missing.",
)
CONNECT_FAILED = _reason("connect_failed", 503, "UF", "No connection to the upstream.")
CONNECT_TIMEOUT = _reason("connect_timeout", 503, "UF", "Connecting to the upstream took too long.")
UPSTREAM_RESET = _reason("upstream_reset", 503, "UC", "The upstream closed before it answered.")
UPSTREAM_PROTOCOL = _reason("upstream_protocol", 502, "UPE", "The upstream's answer is not HTTP.")
PENDING_OVERFLOW = _reason("pending_overflow", 503, "UO", "Too many requests wait already.")
UPSTREAM_OVERFLOW = _reason(
    "upstream_overflow", 503, "UO", "A limit of the upstream's connectionPool is reached."
)
PER_TRY_TIMEOUT = _reason(
    "per_try_timeout", 504, "UT", "The time-out of the last try passed without a response."
)
FAULT_INJECTED = _reason(
    "fault_injected", 503, "FI", "A VirtualService injects this fault."
)  # its status is the policy's
ROUTE_TIMEOUT = _reason("route_timeout", 504, "UT", "The route's time-out passed.")
IDLE_TIMEOUT = _reason("idle_timeout", 504, "SI", "Not a byte came for 5 minutes.")
PROXY_DOWN = _reason("proxy_down", 503, "UH", "The proxy of this port is not running.")

REASONS: dict[str, Reason] = dict(_ALL)


@cache
def fault_injected(status: int) -> Reason:
    """FAULT_INJECTED with the status that the policy says."""
    return replace(FAULT_INJECTED, status=status)
