"""details: what is known about the book. Called by productpage."""

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from tulle.deploy.demo.apps.serving import instance, serve

ME = instance("details")
BOOK = {
    "title": "The Comedy of Errors",
    "author": "William Shakespeare",
    "year": 1595,
    "pages": 200,
    "language": "English",
}


async def details(request: Request) -> JSONResponse:
    """GET /details/{id}"""
    return JSONResponse(ME.named(id=request.path_params["id"], book=BOOK))


if __name__ == "__main__":
    serve([Route("/details/{id:int}", details)])
