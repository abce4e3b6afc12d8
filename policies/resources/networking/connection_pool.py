"""The part of a traffic policy that bounds connections and requests."""

from typing import Literal

from tulle.policies.resources.base import AnyDuration, Duration, Int32, Maybe, Resource, UInt32


class TcpKeepalive(Resource):
    """SO_KEEPALIVE on upstream connections."""

    probes: Maybe[UInt32] = None
    time: Maybe[Duration] = None
    interval: Maybe[Duration] = None


class TcpSettings(Resource):
    """Bounds on connections."""

    max_connections: Maybe[Int32] = None
    connect_timeout: Maybe[Duration] = None
    tcp_keepalive: Maybe[TcpKeepalive] = None
    max_connection_duration: Maybe[Duration] = None
    idle_timeout: Maybe[AnyDuration] = None


class Http2KeepAlive(Resource):
    """PING frames on idle HTTP/2 connections."""

    interval: Maybe[Duration] = None
    timeout: Maybe[Duration] = None


class HttpSettings(Resource):
    """Bounds on requests."""

    http1_max_pending_requests: Maybe[Int32] = None
    http2_max_requests: Maybe[Int32] = None
    max_requests_per_connection: Maybe[Int32] = None
    max_retries: Maybe[Int32] = None
    idle_timeout: Maybe[Duration] = None
    h2_upgrade_policy: Maybe[Literal["DEFAULT", "DO_NOT_UPGRADE", "UPGRADE"]] = None
    use_client_protocol: Maybe[bool] = None
    max_concurrent_streams: Maybe[Int32] = None
    http2_keep_alive: Maybe[Http2KeepAlive] = None


class ConnectionPool(Resource):
    """Bounds towards one destination."""

    tcp: Maybe[TcpSettings] = None
    http: Maybe[HttpSettings] = None
