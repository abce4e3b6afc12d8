"""What the launcher makes of Ray's answers; Ray itself does not run here."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
import ray.exceptions

from tests.support.proxy_world import sidecar_spec
from tulle.actors import spawn
from tulle.actors.spawn import RayLauncher
from tulle.actors.supervisor.launcher import LaunchFailed

TRACEBACK = "  File x\nImportError: no y"
DIED = ray.exceptions.ActorDiedError(
    ray.exceptions.RayTaskError("ProxyActor.__init__", TRACEBACK, ImportError())  # type: ignore[no-untyped-call]  # Ray has no types here
)


class Ready:
    """An actor of which Ray says by `remote` whether it was created."""

    def __init__(self, remote: Callable[[], Awaitable[bool]]) -> None:
        self.remote = remote
        self.__ray_ready__ = self


def spawned(monkeypatch: pytest.MonkeyPatch, remote: Callable[[], Awaitable[bool]]) -> RayLauncher:
    monkeypatch.setattr(spawn, "spawn_proxy", lambda spec: Ready(remote))
    monkeypatch.setattr(spawn, "_CREATION_SECONDS", 0.01)
    return RayLauncher("test")


@pytest.mark.asyncio
async def test_a_creation_that_fails_is_said_with_its_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def died() -> bool:
        raise DIED

    launcher = spawned(monkeypatch, died)
    with pytest.raises(LaunchFailed, match="failed at its start: ImportError: no y"):
        await launcher.start(sidecar_spec())


@pytest.mark.asyncio
async def test_one_that_is_late_or_being_started_again_is_no_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def late() -> bool:
        await asyncio.Event().wait()
        return True

    async def restarting() -> bool:
        raise ray.exceptions.ActorUnavailableError("restarting", None)

    await spawned(monkeypatch, late).start(sidecar_spec())
    await spawned(monkeypatch, restarting).start(sidecar_spec())
