"""The access log: a line per request, in Istio's default text format or as JSON with its keys.

Formats: https://istio.io/latest/docs/tasks/observability/logs/access-log/. What is not known is `-`
in text and null in JSON, as Envoy has it. Who comes over a connection is looked up once for it.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from time import monotonic, time
from typing import TYPE_CHECKING, Final, Protocol

import orjson

from tulle.actors.proxy.spec import AccessLogForm

if TYPE_CHECKING:
    from asyncio import BaseTransport

    from tulle.actors.proxy.client import ClientConnection
    from tulle.actors.proxy.exchange import Exchange

VIA_UPSTREAM: Final = "via_upstream"
CLIENT_GONE: Final = "downstream_remote_disconnect"
DIRECT_RESPONSE: Final = "direct_response"
"""Details of a response (%RESPONSE_CODE_DETAILS%) that are no reason of ours, as Envoy has them."""

Field = str | int | None
_KEYS: Final = (
    "start_time",
    "method",
    "path",
    "protocol",
    "response_code",
    "response_flags",
    "response_code_details",
    "connection_termination_details",
    "upstream_transport_failure_reason",
    "bytes_received",
    "bytes_sent",
    "duration",
    "upstream_service_time",
    "x_forwarded_for",
    "user_agent",
    "request_id",
    "authority",
    "upstream_host",
    "upstream_cluster",
    "upstream_local_address",
    "downstream_local_address",
    "downstream_remote_address",
    "requested_server_name",
    "route_name",
)
# Istio's order is that of the keys.
_TEXT: Final = (
    '[%s] "%s %s %s" %s %s %s %s "%s" %s %s %s %s "%s" "%s" "%s" "%s" "%s" %s %s %s %s %s %s'
)
_QUOTES: Final = _TEXT.count('"')


class Sink(Protocol):
    """Takes lines; `LineFile` is one."""

    def add(self, line: bytes) -> None: ...


class AccessLog:
    """One per proxy. `clock` gives Unix time, `now` the time by which exchanges are measured."""

    def __init__(
        self,
        sink: Sink,
        form: AccessLogForm,
        clock: Callable[[], float] = time,
        now: Callable[[], float] = monotonic,
    ) -> None:
        self.add = sink.add
        self.compose = _as_json if form == "json" else _as_text
        self.clock = clock
        self.now = now

    def of(self, client: "ClientConnection") -> "ConnectionLog":
        """The log of one connection, which is there."""
        return ConnectionLog(self, client)


class ConnectionLog:
    """Writes the lines of one client's connection."""

    __slots__ = ("_ends", "_log")

    def __init__(self, log: AccessLog, client: "ClientConnection") -> None:
        self._log = log
        transport = client.transport
        self._ends: tuple[Field, Field, Field] = (
            _address(transport, "sockname"),
            _address(transport, "peername"),
            client.sni or None,
        )

    def ended(self, exchange: "Exchange", status: int, flag: str, details: str, sent: int) -> None:
        """A request is over. `status` 0: no response began; `sent`: bytes of its body."""
        log, head = self._log, exchange.head
        cluster = getattr(exchange, "cluster", None)  # not there before it is sent
        endpoint, upstream = exchange.asked, exchange.upstream
        choice = getattr(exchange, "choice", None)  # likewise
        took = log.now() - exchange.started
        fields: tuple[Field, ...] = (
            _moment(log.clock() - took),
            _text(head.method),
            _text(exchange.original_path or head.path),
            "HTTP/1.1" if head.minor else "HTTP/1.0",
            status,
            flag,
            details,
            None,
            None,
            exchange.body_received,
            sent,
            int(took * 1_000),
            None,
            _header(exchange, b"x-forwarded-for"),
            _header(exchange, b"user-agent"),
            _header(exchange, b"x-request-id"),
            _text(head.authority) or None,
            _join(endpoint.address, endpoint.port) if endpoint is not None else None,
            cluster.config.name if cluster is not None else None,
            _address(upstream.transport, "sockname") if upstream is not None else None,
            *self._ends,
            (choice.route.name or None) if choice is not None else None,
        )
        log.add(log.compose(fields))

    def refused(self, status: int, flag: str, details: str, sent: int) -> None:
        """What came was no request that could be read, and was answered."""
        log = self._log
        fields: list[Field] = [None] * len(_KEYS)
        fields[0] = _moment(log.clock())
        fields[4:7] = status, flag, details
        fields[9:12] = 0, sent, 0
        fields[20:23] = self._ends
        log.add(log.compose(tuple(fields)))


def _as_text(fields: tuple[Field, ...]) -> bytes:
    line = _TEXT % tuple("-" if one is None else one for one in fields)
    if line.count('"') != _QUOTES or "\\" in line or not line.isprintable():
        line = _TEXT % tuple("-" if one is None else _quoted(one) for one in fields)
    return b"%b\n" % line.encode()


def _as_json(fields: tuple[Field, ...]) -> bytes:
    return orjson.dumps(dict(zip(_KEYS, fields, strict=True)), option=orjson.OPT_APPEND_NEWLINE)


def _quoted(field: str | int) -> str | int:
    """A field that can't pass for the end of itself, whatever a client says."""
    if isinstance(field, int) or (field.isprintable() and '"' not in field and "\\" not in field):
        return field
    return "".join(
        one if one.isprintable() and one not in '"\\' else _escaped(one) for one in field
    )


def _escaped(character: str) -> str:
    return f"\\x{ord(character):02x}"


def _header(exchange: "Exchange", name: bytes) -> str | None:
    """A header as it went upstream, else as it came."""
    head = exchange.request
    if head:
        at = head.find(b"\r\n%b: " % name)
        if at < 0:
            return None
        at += len(name) + 4
        return _text(head[at : head.index(b"\r\n", at)]) or None
    for known, value in exchange.head.headers:
        if known == name:
            return _text(value) or None
    return None


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _moment(unix: float) -> str:
    moment = datetime.fromtimestamp(unix, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _address(transport: "BaseTransport", which: str) -> str | None:
    address = transport.get_extra_info(which)
    return _join(address[0], address[1]) if isinstance(address, tuple) else None


def _join(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
