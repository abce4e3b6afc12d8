"""An application that knows nothing of the mesh: `python echo_app.py NAME`, on port $PORT.

GET anything says who answered and what came; GET /slow/SECONDS the same, so much later. GET
/call?url=... fetches that URL the way any program would, with the proxy of its environment, and
passes the answer on.
"""

import asyncio
import os
import sys

import httpx2
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

NAME = sys.argv[1]


async def echo(request: Request) -> JSONResponse:
    return JSONResponse(
        {"name": NAME, "path": request.url.path, "headers": dict(request.headers.items())}
    )


async def slow(request: Request) -> JSONResponse:
    await asyncio.sleep(float(request.path_params["seconds"]))
    return await echo(request)


async def call(request: Request) -> Response:
    async with httpx2.AsyncClient(timeout=10) as client:
        answer = await client.get(request.query_params["url"])
    return Response(answer.content, answer.status_code, dict(answer.headers.items()))


if __name__ == "__main__":
    app = Starlette(
        routes=[
            Route("/call", call),
            Route("/slow/{seconds:float}", slow),
            Route("/{path:path}", echo),
        ]
    )
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ["PORT"]), log_level="warning")
