"""When a mesh is ready: everybody answers, and the ingress gateway serves the current revision.

Asked over the same API that commands use, as the operator; the collector over its HTTP port.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from tulle.bus.messages import MeshRequest, ServicesAnswer, StatusAnswer
from tulle.deploy import api, probe
from tulle.deploy.api import Api
from tulle.deploy.errors import Failure

_POLL_SECONDS = 0.05
_ASK_SECONDS = 0.3  # whoever does not lead yet does not answer


async def until_ready(mesh: Api, http_port: int, said: Callable[[str], None]) -> None:
    """Returns when all is ready; `said` hears of each part. Never gives up by itself."""
    await asyncio.gather(
        _part("evaluator", said, lambda: _status(mesh)),
        _part("supervisor", said, lambda: _services(mesh)),
        _part("collector", said, lambda: _collector(http_port)),
        _part("ingress gateway", said, lambda: _ingress(mesh)),
    )


async def _part(
    name: str, said: Callable[[str], None], there: Callable[[], Awaitable[bool]]
) -> None:
    while True:
        with contextlib.suppress(Failure):
            if await there():
                said(name)
                return
        await asyncio.sleep(_POLL_SECONDS)


async def _status(mesh: Api) -> bool:
    return (await _ask_status(mesh)).ok


async def _ask_status(mesh: Api) -> StatusAnswer:
    subject = mesh.subjects.api_mesh("status")
    return await mesh.ask(subject, MeshRequest(id=api.new_id()), StatusAnswer, _ASK_SECONDS)


async def _services(mesh: Api) -> bool:
    subject = mesh.subjects.api_mesh("services")
    request = MeshRequest(id=api.new_id())
    return (await mesh.ask(subject, request, ServicesAnswer, _ASK_SECONDS)).ok


async def _collector(port: int) -> bool:
    return await probe.healthy([port], "/healthz")


async def _ingress(mesh: Api) -> bool:
    """It holds a certificate (it is ready), listens, and lacks nothing that was decided."""
    return any(
        proxy.role == "gateway" and proxy.state == "ready" and proxy.current and proxy.listening
        for proxy in (await _ask_status(mesh)).proxies
    )
