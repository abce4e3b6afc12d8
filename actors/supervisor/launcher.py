"""What the supervisor asks of whoever runs actors: actors.spawn.RayLauncher, or memory in tests.

A launcher knows proxies by id alone, evaluators and collectors by name, and keeps no facts of the
mesh.
"""

from typing import Protocol

from tulle.actors.control import ControlSpec
from tulle.actors.proxy.spec import ProxySpec


class LaunchFailed(Exception):
    """An actor could not be started, reached or ended; says which and why."""

    def __init__(self, actor: str, reason: str) -> None:
        super().__init__(f"{actor}: {reason}" if actor else reason)
        self.actor = actor
        self.reason = reason


class Launcher(Protocol):
    """Starts, drains and kills proxies."""

    async def start(self, spec: ProxySpec) -> None:
        """Starts the proxy; one of the same id that runs already is kept as it is.

        Returns before it serves. Raises `LaunchFailed`, also when its creation fails soon.
        """

    async def drain(self, proxy: str, seconds: float) -> None:
        """The proxy retires its sockets and drains; returns when it has. Raises `LaunchFailed`.

        One that is gone already counts as drained.
        """

    async def kill(self, proxy: str) -> None:
        """Ends the proxy at once and for good; one that is gone already is no error.

        Raises `LaunchFailed`.
        """

    async def exists(self, proxy: str) -> bool:
        """Whether it runs or is being restarted; False: it has ended for good.

        Raises `LaunchFailed` when nobody can tell.
        """

    async def proxies(self) -> list[str]:
        """Ids of all proxies that run or are being restarted. Raises `LaunchFailed`."""

    async def nodes(self) -> list[str]:
        """Ids of the nodes that can run proxies. Raises `LaunchFailed`."""

    async def start_control(self, spec: ControlSpec, seconds: float) -> None:
        """Starts an evaluator or collector, or finds it running; returns once it serves.

        Raises `LaunchFailed`, also when it does not serve within `seconds`.
        """

    async def end_control(self, name: str, seconds: float) -> None:
        """The actor leaves what it has to the others, `seconds` at most, and ends for good.

        One that is gone already is no error. Raises `LaunchFailed`.
        """


class MemoryLauncher:
    """Remembers what it was told, for tests."""

    def __init__(self) -> None:
        self.node_ids = ["node-1"]
        self.running: dict[str, ProxySpec] = {}
        self.control: dict[str, ControlSpec] = {}
        """By name."""
        self.drained: list[str] = []
        self.killed: list[str] = []
        self.refusal = ""
        """Set it, and every start fails for this reason."""
        self.drain_refusal = ""

    async def start(self, spec: ProxySpec) -> None:
        if self.refusal:
            raise LaunchFailed(spec.id, self.refusal)
        self.running.setdefault(spec.id, spec)

    async def drain(self, proxy: str, seconds: float) -> None:
        if proxy in self.running:
            self.drained.append(proxy)
            if self.drain_refusal:
                raise LaunchFailed(proxy, self.drain_refusal)

    async def kill(self, proxy: str) -> None:
        if self.running.pop(proxy, None) is not None:
            self.killed.append(proxy)

    async def exists(self, proxy: str) -> bool:
        return proxy in self.running

    async def proxies(self) -> list[str]:
        return list(self.running)

    async def nodes(self) -> list[str]:
        return self.node_ids

    async def start_control(self, spec: ControlSpec, seconds: float) -> None:
        if self.refusal:
            raise LaunchFailed(spec.name, self.refusal)
        self.control.setdefault(spec.name, spec)

    async def end_control(self, name: str, seconds: float) -> None:
        self.control.pop(name, None)
