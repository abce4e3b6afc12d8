"""reviews: what people say. v1 shows no stars; v2 (black) and v3 (red) ask ratings for them.

Called by productpage. Ratings that fail are named in `missing`, and the reviews come without.
"""

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from tulle.deploy.demo.apps.calling import CallFailed, call, client_lifespan
from tulle.deploy.demo.apps.serving import instance, serve

ME = instance("reviews")
COLOUR = {"v2": "black", "v3": "red"}.get(ME.version)
TEXTS = {
    "Reviewer1": "An extremely entertaining play by Shakespeare. The slapstick humour is "
    "refreshing!",
    "Reviewer2": "Absolutely fun and entertaining. The play lacks thematic depth when compared to "
    "other plays by Shakespeare.",
}


async def reviews(request: Request) -> JSONResponse:
    """GET /reviews/{id}"""
    number = request.path_params["id"]
    answer = ME.named(id=number, reviews=TEXTS)
    if COLOUR:
        try:
            answer["ratings"] = await call(request, f"http://ratings:9080/ratings/{number}")
            answer["colour"] = COLOUR
        except CallFailed as error:
            answer["missing"] = {"ratings": str(error)}
    return JSONResponse(answer)


if __name__ == "__main__":
    serve([Route("/reviews/{id:int}", reviews)], client_lifespan)
