"""productpage: the page that people see, put together from details and reviews.

JSON for programs, HTML for a browser. A part that fails is left out and named in `missing`; the
page is still 200, so whoever counts must look at the parts and not at the status alone.
"""

import asyncio

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from tulle.deploy.demo.apps.calling import CallFailed, call, client_lifespan
from tulle.deploy.demo.apps.serving import instance, serve
from tulle.deploy.demo.apps.storefront import as_html, page

ME = instance("productpage")
BOOK = 0


async def productpage(request: Request) -> Response:
    """GET /productpage"""
    details, reviews = await asyncio.gather(
        _part(request, f"http://details:9080/details/{BOOK}"),
        _part(request, f"http://reviews:9080/reviews/{BOOK}"),
    )
    content = page(ME.named(), {"details": details, "reviews": reviews})
    if "text/html" in request.headers.get("accept", ""):
        return HTMLResponse(as_html(content))
    return JSONResponse(content)


async def _part(request: Request, url: str) -> dict[str, object] | str:
    """The part's answer, or why it is missing."""
    try:
        return await call(request, url)
    except CallFailed as error:
        return str(error)


if __name__ == "__main__":
    serve([Route("/", productpage), Route("/productpage", productpage)], client_lifespan)
