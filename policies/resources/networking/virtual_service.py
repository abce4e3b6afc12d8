"""VirtualService: how requests to a host are routed."""

from typing import ClassVar, Literal

from pydantic import Field

from tulle.policies.resources.base import Duration, Int32, Maybe, Resource, UInt32
from tulle.policies.resources.networking.common import Destination, Percent, StringMatch
from tulle.policies.resources.networking.http_action import (
    CorsPolicy,
    Delegate,
    DirectResponse,
    Fault,
    Headers,
    Mirror,
    Redirect,
    Retries,
    Rewrite,
)


class HttpMatchRequest(Resource):
    """Conditions on a request; all of them must hold."""

    name: Maybe[str] = None
    uri: Maybe[StringMatch] = None
    scheme: Maybe[StringMatch] = None
    method: Maybe[StringMatch] = None
    authority: Maybe[StringMatch] = None
    headers: dict[str, StringMatch] = Field(default_factory=dict)
    without_headers: dict[str, StringMatch] = Field(default_factory=dict)
    query_params: dict[str, StringMatch] = Field(default_factory=dict)
    ignore_uri_case: Maybe[bool] = None
    port: Maybe[UInt32] = None
    gateways: tuple[str, ...] = ()
    source_labels: dict[str, str] = Field(default_factory=dict)
    source_namespace: Maybe[str] = None
    stat_prefix: Maybe[str] = None


class HttpRouteDestination(Resource):
    """A weighted share of a route's requests."""

    destination: Destination
    weight: Maybe[Int32] = None
    headers: Maybe[Headers] = None


class HttpRoute(Resource):
    """What is done with the requests that one of `match` holds for; without `match`, with all."""

    name: Maybe[str] = None
    match: tuple[HttpMatchRequest, ...] = ()
    route: tuple[HttpRouteDestination, ...] = ()
    timeout: Maybe[Duration] = None
    redirect: Maybe[Redirect] = None
    direct_response: Maybe[DirectResponse] = None
    delegate: Maybe[Delegate] = None
    rewrite: Maybe[Rewrite] = None
    retries: Maybe[Retries] = None
    fault: Maybe[Fault] = None
    mirror: Maybe[Destination] = None
    mirrors: tuple[Mirror, ...] = ()
    mirror_percentage: Maybe[Percent] = None
    # Two spellings of one deprecated field, both in Istio's schema.
    mirror_percent: UInt32 | None = Field(default=None, alias="mirror_percent")
    mirror_percent_camel: UInt32 | None = Field(default=None, alias="mirrorPercent")
    cors_policy: Maybe[CorsPolicy] = None
    headers: Maybe[Headers] = None


class L4MatchAttributes(Resource):
    """Conditions on a TCP connection."""

    destination_subnets: tuple[str, ...] = ()
    port: Maybe[UInt32] = None
    source_subnet: Maybe[str] = None
    source_labels: dict[str, str] = Field(default_factory=dict)
    source_namespace: Maybe[str] = None
    gateways: tuple[str, ...] = ()


class TlsMatchAttributes(Resource):
    """Conditions on a TLS connection that is passed through."""

    sni_hosts: tuple[str, ...]
    destination_subnets: tuple[str, ...] = ()
    port: Maybe[UInt32] = None
    source_labels: dict[str, str] = Field(default_factory=dict)
    source_namespace: Maybe[str] = None
    gateways: tuple[str, ...] = ()


class RouteDestination(Resource):
    """A weighted share of a route's connections."""

    destination: Destination
    weight: Maybe[Int32] = None


class TcpRoute(Resource):
    """Where TCP connections go."""

    match: tuple[L4MatchAttributes, ...] = ()
    route: tuple[RouteDestination, ...] = ()


class TlsRoute(Resource):
    """Where TLS connections go, by their SNI."""

    match: tuple[TlsMatchAttributes, ...]
    route: tuple[RouteDestination, ...] = ()


class VirtualService(Resource):
    """The `spec` of a VirtualService."""

    kind: ClassVar[Literal["VirtualService"]] = "VirtualService"

    hosts: tuple[str, ...] = ()
    gateways: tuple[str, ...] = ()
    http: tuple[HttpRoute, ...] = ()
    tls: tuple[TlsRoute, ...] = ()
    tcp: tuple[TcpRoute, ...] = ()
    export_to: tuple[str, ...] = ()
