"""How each application serves: Starlette under uvicorn on 127.0.0.1:$PORT, version from argv.

Every JSON answer starts with who answered: `{"service", "version", "workload", ...}`.
"""

import os
import socket
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import asdict, dataclass

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Route

KEEP_ALIVE_SECONDS = 300  # longer than any proxy keeps an idle connection, so that it closes first
DRAIN_SECONDS = 5


@dataclass(frozen=True, slots=True)
class Instance:
    """One running process of a service."""

    service: str
    version: str
    workload: str

    def named(self, **content: object) -> dict[str, object]:
        """An answer's JSON: this instance, then `content`."""
        return {**asdict(self), **content}


def instance(service: str) -> Instance:
    """This process: the version is the first argument (`v1`), the workload a name for the page."""
    version = sys.argv[1] if len(sys.argv) > 1 else "v1"
    workload = os.environ.get("TULLE_WORKLOAD") or f"{socket.gethostname()}:{os.getpid()}"
    return Instance(service, version, workload)


def serve(
    routes: list[Route],
    lifespan: Callable[[Starlette], AbstractAsyncContextManager[None]] | None = None,
) -> None:
    """Serves until SIGTERM or SIGINT, then finishes what it has begun. PORT names the port."""
    uvicorn.run(
        Starlette(routes=routes, lifespan=lifespan),
        host="127.0.0.1",
        port=int(os.environ.get("PORT", "9080")),
        loop="uvloop",
        http="httptools",
        ws="none",
        access_log=False,
        log_level="warning",
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=DRAIN_SECONDS,
    )
