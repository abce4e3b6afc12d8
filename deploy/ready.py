"""When a mesh is ready: everybody answers, and the ingress gateway serves the current revision.

Asked over the same API that commands use, as the operator; the collector over its HTTP port.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine

from tulle.bus.messages import MeshRequest, ServicesAnswer, StatusAnswer
from tulle.deploy import api, probe
from tulle.deploy.api import Api
from tulle.deploy.binding import Binding
from tulle.deploy.errors import Failure

INGRESS = "ingress"
_POLL_SECONDS = 0.05
_ASK_SECONDS = 0.3  # whoever does not lead yet does not answer


class Readiness:
    """Asks until all is ready. `missing`: what has not come yet; `said` hears of what has."""

    def __init__(self, mesh: Api, binding: Binding, said: Callable[[str], None]) -> None:
        self._mesh = mesh
        self._binding = binding
        self._said = said
        self._checks: dict[str, Callable[[], Awaitable[str]]] = {
            "evaluator": self._evaluator,
            "supervisor": self._supervisor,
            "collector": self._collector,
            "ingress gateway": self._ingress,
        }
        self.missing = list(self._checks)

    async def wait(self) -> None:
        """Returns when nothing is missing. Never gives up by itself."""
        await asyncio.gather(*map(self._part, list(self.missing)))

    async def _part(self, name: str) -> None:
        while True:
            with contextlib.suppress(Failure):
                if came := await self._checks[name]():
                    self.missing.remove(name)
                    self._said(came)
                    return
            await asyncio.sleep(_POLL_SECONDS)

    # Each says what came; empty: nothing yet.

    async def _evaluator(self) -> str:
        return "evaluator" if (await self._status()).ok else ""

    async def _supervisor(self) -> str:
        return "supervisor" if (await self._services()).ok else ""

    async def _collector(self) -> str:
        address, port = self._binding.from_here, self._binding.http_port
        return "collector" if await probe.healthy([port], "/healthz", address=address) else ""

    async def _ingress(self) -> str:
        """It holds a certificate (it is ready), listens, and lacks nothing that was decided."""
        for proxy in (await self._status()).proxies:
            serves = proxy.state == "ready" and proxy.current and proxy.listening
            if proxy.role == "gateway" and serves:
                return "ingress gateway"
        sizes = {pool.name: pool.replicas for pool in (await self._services()).pools}
        if sizes.get(INGRESS) == 0:
            return f"no ingress gateway: its pool has 0, see `tulle scale {INGRESS} 1`"
        return ""

    async def _status(self) -> StatusAnswer:
        subject = self._mesh.subjects.api_mesh("status")
        return await self._mesh.ask(subject, _request(), StatusAnswer, _ASK_SECONDS)

    async def _services(self) -> ServicesAnswer:
        subject = self._mesh.subjects.api_mesh("services")
        return await self._mesh.ask(subject, _request(), ServicesAnswer, _ASK_SECONDS)


async def unless(end: Coroutine[None, None, None], work: Coroutine[None, None, None]) -> None:
    """Returns when `work` has, unless `end` comes before: whatever either raises is raised."""
    tasks = [asyncio.create_task(end), asyncio.create_task(work)]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            if task.done():
                task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _request() -> MeshRequest:
    return MeshRequest(id=api.new_id())
