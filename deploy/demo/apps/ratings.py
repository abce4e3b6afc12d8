"""ratings: the stars of each reviewer. Called by reviews v2 and v3."""

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from tulle.deploy.demo.apps.serving import instance, serve

ME = instance("ratings")
STARS = {"Reviewer1": 5, "Reviewer2": 4}


async def ratings(request: Request) -> JSONResponse:
    """GET /ratings/{id}"""
    return JSONResponse(ME.named(id=request.path_params["id"], stars=STARS))


if __name__ == "__main__":
    serve([Route("/ratings/{id:int}", ratings)])
