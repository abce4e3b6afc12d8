"""How an application calls another: by service name, with one httpx2 client per process.

The client honours `http_proxy`; under `tulle run` that is the sidecar. What ties the requests of
one page together is passed on, as every traced application does.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
from starlette.applications import Starlette
from starlette.requests import Request

PASSED_ON = ("traceparent", "tracestate", "x-request-id", "end-user")
TIMEOUT_SECONDS = 10.0  # shorter ones are the mesh's to set


class CallFailed(Exception):
    """A part did not answer as it should; the message says why, in a few words for the page."""


@asynccontextmanager
async def client_lifespan(app: Starlette) -> AsyncIterator[None]:
    """Keeps `app.state.client` for the life of the process."""
    limits = httpx2.Limits(max_connections=64, max_keepalive_connections=32, keepalive_expiry=60)
    async with httpx2.AsyncClient(timeout=TIMEOUT_SECONDS, limits=limits) as client:
        app.state.client = client
        yield


async def call(request: Request, url: str) -> dict[str, object]:
    """GETs the JSON object at `url` on behalf of `request`. Raises `CallFailed`."""
    client: httpx2.AsyncClient = request.app.state.client
    headers = {name: request.headers[name] for name in PASSED_ON if name in request.headers}
    try:
        response = await client.get(url, headers=headers)
    except httpx2.HTTPError as error:
        raise CallFailed(type(error).__name__) from error
    if response.status_code != 200:
        reason = response.headers.get("x-tulle-reason", response.reason_phrase)
        raise CallFailed(f"{response.status_code} {reason}")
    try:
        answer = response.json()
    except ValueError as error:
        raise CallFailed("not JSON") from error
    if not isinstance(answer, dict):
        raise CallFailed("not a JSON object")
    return answer
