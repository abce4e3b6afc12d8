"""The only place with `ray.remote`: makes actors of the plain classes in the rooms.

The Ray host (deploy.local) spawns the control actors, the supervisor spawns proxies through
`RayLauncher`. Every actor is named `tulle-<kind>-<id>`, so that it exists once, needs no CPU of
Ray's, is restarted by Ray, with the same spec, as often as it dies, and outlives its spawner.

Actor classes are imported when they are spawned: a process that spawns no proxies loads no proxy.
"""

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, TypeVar, cast

import ray
from ray.actor import ActorClass, ActorHandle
from ray.util import list_named_actors
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from tulle.actors.control import ControlSpec
from tulle.actors.proxy.spec import ProxySpec, actor_name
from tulle.actors.supervisor.launcher import LaunchFailed

if TYPE_CHECKING:
    from tulle.actors.authority.actor import AuthorityActor
    from tulle.actors.evaluator.actor import EvaluatorActor
    from tulle.actors.proxy.actor import ProxyActor
    from tulle.actors.supervisor.actor import SupervisorActor
    from tulle.actors.telemetry.actor import CollectorActor

ActorT = TypeVar("ActorT")

_RAY_SECONDS = 10.0
_AGAIN_SECONDS = 0.2
_CREATION_SECONDS = 4.0
"""A creation that fails does so sooner; on a busy machine one that does not may take longer."""


def namespace(mesh: str) -> str:
    """The Ray namespace of a mesh's actors."""
    return f"tulle.{mesh}"


def spawn_authority(spec: ControlSpec) -> "ActorHandle[AuthorityActor]":
    """The certificate authority, one per mesh, where its keys are."""
    from tulle.actors.authority.actor import AuthorityActor

    return _spawn(AuthorityActor, spec, spec.name)


def spawn_evaluator(spec: ControlSpec) -> "ActorHandle[EvaluatorActor]":
    """One of the policy evaluators; they agree by themselves who leads."""
    from tulle.actors.evaluator.actor import EvaluatorActor

    return _spawn(EvaluatorActor, spec, spec.name)


def spawn_supervisor(spec: ControlSpec) -> "ActorHandle[SupervisorActor]":
    """The supervisor, which spawns the proxies."""
    from tulle.actors.supervisor.actor import SupervisorActor

    return _spawn(SupervisorActor, spec, spec.name)


def spawn_collector(spec: ControlSpec) -> "ActorHandle[CollectorActor]":
    """A telemetry collector."""
    from tulle.actors.telemetry.actor import CollectorActor

    return _spawn(CollectorActor, spec, spec.name)


def spawn_proxy(spec: ProxySpec) -> "ActorHandle[ProxyActor]":
    """A proxy, on node `spec.node` if that is set; one of the same name is kept."""
    from tulle.actors.proxy.actor import ProxyActor

    pinned = NodeAffinitySchedulingStrategy(spec.node, soft=False) if spec.node else None
    return _spawn(ProxyActor, spec, spec.name, pinned)


def _spawn(
    actor: type[ActorT],
    spec: ControlSpec | ProxySpec,
    name: str,
    where: NodeAffinitySchedulingStrategy | None = None,
) -> ActorHandle[ActorT]:
    options: ActorClass[ActorT] = ray.remote(actor).options(
        name=name,
        namespace=namespace(spec.mesh),
        lifetime="detached",
        num_cpus=0,
        max_restarts=-1,
        get_if_exists=True,
        scheduling_strategy=where,
    )
    # Typed by Ray as what it returns for a class of either language.
    return cast(ActorHandle[ActorT], options.remote(spec))


def spawn_control(spec: ControlSpec) -> "ActorHandle[Any]":
    """An evaluator or a collector, as `spec` says."""
    return spawn_evaluator(spec) if spec.role == "evaluator" else spawn_collector(spec)


class RayLauncher:
    """The supervisor's `Launcher` on Ray. Ray's blocking calls run off the event loop."""

    def __init__(self, mesh: str) -> None:
        self._namespace = namespace(mesh)

    async def start(self, spec: ProxySpec) -> None:
        try:
            async with asyncio.timeout(_RAY_SECONDS):
                actor = await asyncio.to_thread(spawn_proxy, spec)
        except (ray.exceptions.RayError, ValueError, TimeoutError) as error:
            raise LaunchFailed(spec.id, f"Ray did not start it: {error!r}") from error
        await self._until_created(spec.id, actor)

    async def drain(self, proxy: str, seconds: float) -> None:
        actor = await self._find(proxy)
        if actor is None:
            return
        try:
            async with asyncio.timeout(seconds):
                await actor.drain.remote()
        except ray.exceptions.ActorDiedError:
            return  # drained or not, nothing is left to drain
        except (ray.exceptions.RayError, TimeoutError) as error:
            raise LaunchFailed(proxy, f"not drained in {seconds:.0f} s: {error!r}") from error

    async def kill(self, proxy: str) -> None:
        actor = await self._find(proxy)
        if actor is not None:
            await self._kill(proxy, actor)

    async def exists(self, proxy: str) -> bool:
        return await self._find(proxy) is not None

    async def proxies(self) -> list[str]:
        try:
            actors = await asyncio.to_thread(list_named_actors, True)
        except ray.exceptions.RayError as error:
            raise LaunchFailed("", f"Ray does not list its actors: {error!r}") from error
        # Ray types them as names, which they are of one namespace alone.
        named = [cast(dict[str, str], actor) for actor in actors]
        ours = [actor["name"] for actor in named if actor["namespace"] == self._namespace]
        front = actor_name("")
        return [name.removeprefix(front) for name in ours if name.startswith(front)]

    async def nodes(self) -> list[str]:
        try:
            nodes = await asyncio.to_thread(ray.nodes)
        except ray.exceptions.RayError as error:
            raise LaunchFailed("", f"Ray does not list its nodes: {error!r}") from error
        return [node["NodeID"] for node in nodes if node["Alive"]]

    async def start_control(self, spec: ControlSpec, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                # Looked for first: its class, which takes memory, is not loaded in vain.
                actor = await self._find_named(spec.name)
                if actor is None:
                    actor = await asyncio.to_thread(spawn_control, spec)
                await _until_healthy(actor)
        except TimeoutError as error:
            raise LaunchFailed(spec.name, f"it does not serve after {seconds:.0f} s") from error
        except (ray.exceptions.RayError, ValueError) as error:
            raise LaunchFailed(spec.name, f"it does not serve: {error!r}") from error

    async def end_control(self, name: str, seconds: float) -> None:
        if (actor := await self._find_named(name)) is None:
            return
        with contextlib.suppress(ray.exceptions.RayError, TimeoutError):
            # What it can't leave in order, others take as they do when it dies.
            async with asyncio.timeout(seconds):
                await actor.retire.remote()
        await self._kill(name, actor)

    async def _until_created(self, proxy: str, actor: "ActorHandle[ProxyActor]") -> None:
        # Ray does not repeat a creation that failed: who is not told now never hears why.
        try:
            async with asyncio.timeout(_CREATION_SECONDS):
                await actor.__ray_ready__.remote()
        except ray.exceptions.ActorDiedError as error:
            reason = str(error).strip().splitlines()[-1]
            raise LaunchFailed(proxy, f"it failed at its start: {reason}") from error
        except (ray.exceptions.RayError, TimeoutError):
            return  # it is late, or being started again

    async def _kill(self, who: str, actor: "ActorHandle[Any]") -> None:
        try:
            await asyncio.to_thread(ray.kill, actor, no_restart=True)
        except ray.exceptions.RayError as error:
            raise LaunchFailed(who, f"Ray did not end it: {error!r}") from error

    async def _find(self, proxy: str) -> "ActorHandle[ProxyActor] | None":
        return await self._find_named(actor_name(proxy))

    async def _find_named(self, name: str) -> "ActorHandle[Any] | None":
        try:
            return await asyncio.to_thread(ray.get_actor, name, self._namespace)
        except ValueError:  # Ray's way to say that no living actor has this name
            return None
        except ray.exceptions.RayError as error:
            raise LaunchFailed(name, f"Ray does not find it: {error!r}") from error


async def _until_healthy(actor: "ActorHandle[Any]") -> None:
    while True:
        try:
            await actor.health.remote()
            return
        except ray.exceptions.ActorUnavailableError:  # Ray starts it again
            await asyncio.sleep(_AGAIN_SECONDS)
