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


class Readiness:
    """Asks until all is ready. `missing`: what has not come yet; `said` hears of what has."""

    def __init__(self, mesh: Api, http_port: int, said: Callable[[str], None]) -> None:
        self._said = said
        self.missing = ["evaluator", "supervisor", "collector", "ingress gateway"]
        self._checks: dict[str, Callable[[], Awaitable[bool]]] = {
            "evaluator": lambda: _status(mesh),
            "supervisor": lambda: _services(mesh),
            "collector": lambda: probe.healthy([http_port], "/healthz"),
            "ingress gateway": lambda: _ingress(mesh),
        }

    async def wait(self) -> None:
        """Returns when nothing is missing. Never gives up by itself."""
        await asyncio.gather(*map(self._part, list(self.missing)))

    async def _part(self, name: str) -> None:
        while True:
            with contextlib.suppress(Failure):
                if await self._checks[name]():
                    self.missing.remove(name)
                    self._said(name)
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


async def _ingress(mesh: Api) -> bool:
    """It holds a certificate (it is ready), listens, and lacks nothing that was decided."""
    return any(
        proxy.role == "gateway" and proxy.state == "ready" and proxy.current and proxy.listening
        for proxy in (await _ask_status(mesh)).proxies
    )
