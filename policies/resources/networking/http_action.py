"""What a VirtualService may do besides routing: rewrite, redirect, fault, mirror, ..."""

from typing import ClassVar, Literal

from pydantic import Field

from tulle.policies.resources.base import Duration, Int32, Maybe, Resource, UInt32
from tulle.policies.resources.networking.common import Destination, Percent, Regex, StringMatch


class HeaderOperations(Resource):
    """Edits of headers: `set` replaces, `add` appends."""

    set: dict[str, str] = Field(default_factory=dict)
    add: dict[str, str] = Field(default_factory=dict)
    remove: tuple[str, ...] = ()


class Headers(Resource):
    """Edits of a request's and its response's headers."""

    request: Maybe[HeaderOperations] = None
    response: Maybe[HeaderOperations] = None


class Redirect(Resource):
    """Answers with a redirect."""

    one_of: ClassVar[tuple[tuple[str, ...], ...]] = (("port", "derive_port"),)

    uri: Maybe[str] = None
    authority: Maybe[str] = None
    port: Maybe[UInt32] = None
    derive_port: Maybe[Literal["FROM_PROTOCOL_DEFAULT", "FROM_REQUEST_PORT"]] = None
    scheme: Maybe[str] = None
    redirect_code: Maybe[UInt32] = None
    prefix_rewrite: Maybe[str] = None


class ResponseBody(Resource):
    """A fixed body; `bytes` is base64."""

    one_of: ClassVar[tuple[tuple[str, ...], ...]] = (("string", "bytes"),)

    string: Maybe[str] = None
    bytes: Maybe[str] = None


class DirectResponse(Resource):
    """Answers by itself."""

    status: UInt32
    body: Maybe[ResponseBody] = None


class Delegate(Resource):
    """Another VirtualService that goes on."""

    name: Maybe[str] = None
    namespace: Maybe[str] = None


class RegexRewrite(Resource):
    """Replaces by a regular expression."""

    match: Maybe[Regex] = None
    rewrite: Maybe[str] = None


class Rewrite(Resource):
    """Changes path or authority before the request goes on."""

    uri: Maybe[str] = None
    authority: Maybe[str] = None
    uri_regex_rewrite: Maybe[RegexRewrite] = None


class Retries(Resource):
    """How often, when and for how long a request is tried again."""

    attempts: Maybe[Int32] = None
    per_try_timeout: Maybe[Duration] = None
    retry_on: Maybe[str] = None
    retry_remote_localities: bool | None = None
    retry_ignore_previous_hosts: bool | None = None
    backoff: Maybe[Duration] = None


class FaultDelay(Resource):
    """Delays a share of the requests."""

    one_of: ClassVar[tuple[tuple[str, ...], ...]] = (("fixed_delay", "exponential_delay"),)

    percent: Maybe[Int32] = None
    percentage: Maybe[Percent] = None
    fixed_delay: Maybe[Duration] = None
    exponential_delay: Maybe[Duration] = None


class FaultAbort(Resource):
    """Answers a share of the requests with an error."""

    one_of: ClassVar[tuple[tuple[str, ...], ...]] = (("http_status", "grpc_status", "http2_error"),)

    http_status: Maybe[Int32] = None
    grpc_status: Maybe[str] = None
    http2_error: Maybe[str] = None
    percentage: Maybe[Percent] = None


class Fault(Resource):
    """Failures made on purpose."""

    delay: Maybe[FaultDelay] = None
    abort: Maybe[FaultAbort] = None


class Mirror(Resource):
    """A copy of a share of the requests goes to `destination`."""

    destination: Destination
    percentage: Maybe[Percent] = None


class CorsPolicy(Resource):
    """Cross-origin resource sharing."""

    allow_origin: tuple[str, ...] = ()
    allow_origins: tuple[StringMatch, ...] = ()
    allow_methods: tuple[str, ...] = ()
    allow_headers: tuple[str, ...] = ()
    expose_headers: tuple[str, ...] = ()
    max_age: Maybe[Duration] = None
    allow_credentials: bool | None = None
    unmatched_preflights: Maybe[Literal["UNSPECIFIED", "FORWARD", "IGNORE"]] = None
