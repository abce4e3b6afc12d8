"""The parts of a traffic policy that eject endpoints and bound retries."""

from typing import Annotated

from pydantic import Field

from tulle.policies.resources.base import AnyDuration, Duration, Int32, Maybe, Resource, UInt32


class OutlierDetection(Resource):
    """When an endpoint is ejected, and for how long."""

    consecutive_errors: Maybe[Int32] = None
    split_external_local_origin_errors: Maybe[bool] = None
    consecutive_local_origin_failures: UInt32 | None = None
    consecutive_gateway_errors: UInt32 | None = None
    consecutive_5xx_errors: UInt32 | None = Field(default=None, alias="consecutive5xxErrors")
    interval: Maybe[Duration] = None
    base_ejection_time: Maybe[Duration] = None
    max_ejection_percent: Maybe[Int32] = None
    min_health_percent: Maybe[Int32] = None
    outlier_detection_http_error_codes: tuple[Annotated[int, Field(ge=100, le=599)], ...] = ()


class RetryBudget(Resource):
    """The share of requests that may be retries."""

    percent: Annotated[float, Field(ge=0, le=100)] | None = None
    budget_interval: Maybe[AnyDuration] = None
    min_retry_concurrency: Maybe[UInt32] = None
