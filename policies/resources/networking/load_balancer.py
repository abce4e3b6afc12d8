"""The part of a traffic policy that picks an endpoint."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from tulle.policies.resources.base import AnyDuration, Duration, Maybe, Resource, UInt32

UInt = Annotated[int, Field(ge=0)]
SimpleBalancer = Literal[
    "UNSPECIFIED", "LEAST_CONN", "RANDOM", "PASSTHROUGH", "ROUND_ROBIN", "LEAST_REQUEST"
]


class CookieAttribute(Resource):
    """An attribute of the cookie that the proxy sets."""

    name: str
    value: Maybe[str] = None


class HttpCookie(Resource):
    """The cookie that is hashed; made with `ttl` when the request has none."""

    name: str
    path: Maybe[str] = None
    ttl: Maybe[AnyDuration] = None
    attributes: tuple[CookieAttribute, ...] = ()


class RingHash(Resource):
    """Consistent hashing on a ring."""

    minimum_ring_size: Maybe[UInt] = None


class Maglev(Resource):
    """Consistent hashing by Maglev's table."""

    table_size: Maybe[UInt] = None


class ConsistentHash(Resource):
    """Equal keys go to the same endpoint."""

    one_of: ClassVar[tuple[tuple[str, ...], ...]] = (
        ("http_header_name", "http_cookie", "use_source_ip", "http_query_parameter_name"),
        ("ring_hash", "maglev"),
    )

    http_header_name: Maybe[str] = None
    http_cookie: Maybe[HttpCookie] = None
    use_source_ip: Maybe[bool] = None
    http_query_parameter_name: Maybe[str] = None
    ring_hash: Maybe[RingHash] = None
    maglev: Maybe[Maglev] = None
    minimum_ring_size: Maybe[UInt] = None


class Distribute(Resource):
    """Shares of the traffic from one locality to others."""

    from_: Maybe[str] = Field(default=None, alias="from")
    to: dict[str, UInt32] = Field(default_factory=dict)


class Failover(Resource):
    """Where the traffic of a region goes when it is unhealthy."""

    from_: Maybe[str] = Field(default=None, alias="from")
    to: Maybe[str] = None


class LocalityLbSetting(Resource):
    """Locality-aware balancing."""

    distribute: tuple[Distribute, ...] = ()
    failover: tuple[Failover, ...] = ()
    failover_priority: tuple[str, ...] = ()
    enabled: bool | None = None


class ZoneAwareLbSetting(Resource):
    """Zone-aware balancing."""

    enabled: bool | None = None
    failover: tuple[Failover, ...] = ()
    failover_priority: tuple[str, ...] = ()
    min_cluster_size: Annotated[int, Field(ge=1)] | None = None


class Warmup(Resource):
    """New endpoints get their share slowly."""

    duration: Duration
    minimum_percent: Annotated[float, Field(ge=0, le=100)] | None = None
    aggression: Annotated[float, Field(ge=0)] | None = None


class LoadBalancer(Resource):
    """How an endpoint is picked."""

    one_of: ClassVar[tuple[tuple[str, ...], ...]] = (("simple", "consistent_hash"),)

    simple: Maybe[SimpleBalancer] = None
    consistent_hash: Maybe[ConsistentHash] = None
    locality_lb_setting: Maybe[LocalityLbSetting] = None
    zone_aware_lb_setting: Maybe[ZoneAwareLbSetting] = None
    warmup_duration_secs: Maybe[Duration] = None
    warmup: Maybe[Warmup] = None
