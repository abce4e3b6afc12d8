"""A Ray of one machine: on loopback alone, without what a mesh has no use for.

What Ray reads from its environment is in `ray_environment.py`, called before this is imported.

Ray has no settings for the rest, so a few of its functions are replaced (it is pinned to a minor
version; tests/integration/actors/test_ray_host.py fails when one of them changes):

- `resolve_ip_for_localhost` would turn 127.0.0.1 into the outward address, and Ray would then
  listen on every interface.
- autoscaler monitor, log monitor and dashboard cost a second at the start and 350 MB, and the
  dashboard agent polls the machine unless Ray believes that the dashboard's libraries are missing.
"""

import os
import shutil
from pathlib import Path
from typing import Final

import ray
import ray._private.services
import ray._private.utils
import ray._private.worker
from ray._private.node import Node
from ray._private.ray_constants import PROCESS_TYPE_GCS_SERVER, PROCESS_TYPE_RAYLET

from tulle.actors.spawn import namespace
from tulle.deploy.home import Home

ADDRESS: Final = "127.0.0.1"
OBJECT_STORE_BYTES: Final = 100 * 1024 * 1024
"""Nothing of the mesh travels through it; Ray takes no less than 75 MB."""
_MOST_WORKERS_AT_ONCE: Final = 8


def start(mesh: str, home: Path) -> str:
    """Starts Ray for `mesh`, whose folder is `home`; returns the node's id."""
    _replace_functions()
    folder = Home(home).ray
    _clear(folder)
    # Workers get the driver's working directory as a place to import from: one without modules.
    os.chdir(home)
    ray.init(
        address="local",
        namespace=namespace(mesh),
        # Not only a resource: as many workers are started at once, and ahead of need.
        num_cpus=max(2, min(_MOST_WORKERS_AT_ONCE, os.cpu_count() or 2)),
        num_gpus=0,
        object_store_memory=OBJECT_STORE_BYTES,
        include_dashboard=False,
        configure_logging=False,
        log_to_driver=False,
        _node_ip_address=ADDRESS,
        _temp_dir=str(folder),
    )
    return str(ray.get_runtime_context().get_node_id())


def vital() -> dict[str, int]:
    """Pids by name of the processes of Ray without which its actors end, sooner or later."""
    node = ray._private.worker._global_node
    assert node is not None  # `start` was called
    names = (PROCESS_TYPE_RAYLET, PROCESS_TYPE_GCS_SERVER)
    return {name: node.all_processes[name][0].process.pid for name in names}


def stop() -> None:
    """Ends all actors and Ray's own processes."""
    ray.shutdown()


def _replace_functions() -> None:
    ray._private.services.resolve_ip_for_localhost = _same
    ray._private.utils.get_dashboard_dependency_error = _without_dashboard
    for name, replacement in _NODE_METHODS.items():
        getattr(Node, name)  # raises when Ray calls it otherwise by now
        setattr(Node, name, replacement)


def _same(host: str) -> str:
    return host


def _without_dashboard() -> ImportError:
    return ImportError("not used by tulle")


def _nothing(node: Node) -> None:
    pass


def _no_api_server(node: Node, **_: object) -> None:
    node._webui_url = ""


_NODE_METHODS: Final = {
    "start_monitor": _nothing,
    "start_log_monitor": _nothing,
    "start_api_server": _no_api_server,
}


def _clear(folder: Path) -> None:
    """Removes the sessions of earlier starts: their logs are of use until the next one."""
    folder.mkdir(mode=0o700, exist_ok=True)
    for session in folder.glob("session_*"):
        if session.is_symlink():
            session.unlink()
        else:
            shutil.rmtree(session, ignore_errors=True)
