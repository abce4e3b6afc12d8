"""A Ray cluster that others run, seen by a driver: joined, its nodes' agents kept, looked after.

Counterparts: `host.py`, which runs in it, and `end.py`.
"""

import logging
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import ray
import ray._private.services
import ray._private.state
from ray.exceptions import RayError

from tulle.actors import spawn
from tulle.deploy.outside import head_away
from tulle.deploy.outside.agent import AgentSpec, NodeAgent
from tulle.deploy.outside.standing import Standing

if TYPE_CHECKING:
    from ray import ObjectRef
    from ray.actor import ActorHandle

CONNECT_SECONDS: Final = 3.0
AGENT_SECONDS: Final = 30.0
LOOPBACK: Final = "127.0.0.1"

_LOG = logging.getLogger("tulle.host")


class Unusable(Exception):
    """This cluster can't have the mesh; says why and what to do."""


def join(address: str, mesh: str, home: Path) -> str:
    """Connects to the cluster; the id of the node here that this driver is on. Raises `Unusable`.

    `home`: the mesh's folder. Workers get the driver's working directory as a place to import
    from: it is made one without modules.
    """
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    try:
        socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
    except OSError as error:
        why = error.strerror or error
        raise Unusable(f"no Ray at {address}: {why}; `ray start --head` starts one") from None
    # Ray would turn a loopback address into the outward one, where this cluster does not listen.
    ray._private.services.resolve_ip_for_localhost = _same
    os.chdir(home)
    here: dict[str, Any] = {"_node_ip_address": host} if host == LOOPBACK else {}
    try:
        ray.init(
            address=address,
            namespace=spawn.namespace(mesh),
            configure_logging=False,
            log_to_driver=False,
            **here,
        )
    except (RayError, RuntimeError, ConnectionError, ValueError, OSError) as error:
        said = (str(error).strip().splitlines() or [repr(error)])[0]
        raise Unusable(
            f"Ray at {address} can't be joined: {said} (one of its nodes must run here, as this "
            "user, with the same versions of Ray and Python)"
        ) from error
    return str(ray.get_runtime_context().get_node_id())


def leave() -> None:
    """Ends the driver; what it spawned stays."""
    ray.shutdown()


def alive_nodes() -> list[str]:
    """Ids of the cluster's nodes. Raises `RayError`."""
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]  # Ray's
    return [str(node["NodeID"]) for node in nodes if node["Alive"]]


class Agents:
    """An agent on each node; those that don't see the mesh's folder are ended again."""

    def __init__(self, mesh: str, home: Path, standing: Standing) -> None:
        self._mesh = mesh
        self._home = home
        self._instance = standing.instance
        self._here: dict[str, ActorHandle[NodeAgent]] = {}
        self._elsewhere: set[str] = set()

    def settle(self) -> None:
        """Agents for nodes that came, none for nodes that went. Raises `Unusable`, `RayError`."""
        alive = alive_nodes()
        for node in set(alive) - self._here.keys() - self._elsewhere:
            self._begin(node)
        for node in self._here.keys() - set(alive):
            del self._here[node]
            _LOG.warning("a node of Ray is gone: node=%s", node)
        for file in (self._home / "nodes").glob("*.json"):
            if file.stem not in alive:
                file.unlink(missing_ok=True)

    def head_away(self) -> str:
        """How long actors here outlive Ray's head, in seconds; empty: as by default."""
        for agent in self._here.values():
            said = _answer(agent.variable.remote(f"RAY_{head_away.SETTING}"))
            return str(_system_config().get(head_away.SETTING, "") or said)
        return ""

    def _begin(self, node: str) -> None:
        spec = AgentSpec(self._mesh, node, str(self._home), self._instance)
        agent = spawn.spawn_node_agent(NodeAgent, spec)
        try:
            theirs = _answer(agent.instance.remote())
            shares = _answer(agent.shares.remote())
        except ray.exceptions.GetTimeoutError:
            _LOG.warning("the agent of a node does not answer yet: node=%s", node)
            return  # looked at again
        except RayError as error:
            said = str(error).strip().splitlines()[-1]
            ray.kill(agent, no_restart=True)
            self._elsewhere.add(node)
            _LOG.warning("no agent on a node: node=%s error=%s", node, said)
            return
        if theirs != self._instance:
            raise Unusable(
                f"another mesh named {self._mesh} has its actors in this Ray: choose another name, "
                "with --mesh"
            )
        if shares:
            self._here[node] = agent
            return
        _LOG.info("a node of Ray does not share %s: node=%s", self._home, node)
        ray.kill(agent, no_restart=True)
        self._elsewhere.add(node)


def look(mesh: str, node: str, names: list[str]) -> None:
    """Raises `Unusable` when `node`, which this driver is on, or actors of these names are gone."""
    if node not in alive_nodes():
        raise Unusable("the node of Ray that this mesh is pinned to is gone")
    there = set(spawn.names_in(mesh))
    if gone := [name for name in names if name not in there]:
        raise Unusable(f"{' and '.join(gone)} ended for good")


def _answer(asked: "ObjectRef[Any]") -> Any:
    return ray.get(asked, timeout=AGENT_SECONDS)


def _system_config() -> dict[str, Any]:
    """What Ray's head was started with as `--system-config`."""
    found = ray._private.state.state.get_system_config()  # type: ignore[no-untyped-call]
    return dict(found) if isinstance(found, dict) else {}


def _same(host: str) -> str:
    return host
