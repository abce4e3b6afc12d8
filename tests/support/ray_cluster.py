"""A Ray cluster started apart, as `ray start` would, but on loopback: `python ray_cluster.py ...`.

Two raylets on 127.0.0.1, in a folder with a short path, with a token; lives until its stdin ends.
Says `{"address": ..., "nodes": [...]}` as one line when it stands. Ray's own command would take
the outward address in the place of 127.0.0.1, so its functions are replaced as by deploy.lean_ray.
"""

import json
import os
import signal
import sys
from pathlib import Path

from ray._private.node import Node
from ray._private.parameter import RayParams

from tulle.deploy import lean_ray

RAYLETS = 2


def main(folder: Path) -> None:
    """Runs until stdin ends."""
    folder.mkdir(mode=0o700, exist_ok=True)
    lean_ray._replace_functions()
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    os.chdir(folder)
    head = Node(_params(folder), head=True, shutdown_at_exit=False, spawn_reaper=False)
    nodes = [head]
    for _ in range(RAYLETS - 1):
        params = _params(folder, gcs_address=head.gcs_address)
        nodes.append(Node(params, head=False, shutdown_at_exit=False, spawn_reaper=False))
    pids = [node.all_processes["raylet"][0].process.pid for node in nodes]
    said = {"address": head.gcs_address, "nodes": [n.node_id for n in nodes], "raylets": pids}
    print(json.dumps(said), file=out, flush=True)
    # A raylet that is killed must not stay as a zombie: its workers would take it for alive.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while os.read(0, 4096):
        pass
    for node in reversed(nodes):
        node.kill_all_processes(check_alive=False, allow_graceful=False)


def _params(folder: Path, gcs_address: str | None = None) -> RayParams:
    return RayParams(
        gcs_address=gcs_address,
        node_ip_address="127.0.0.1",
        num_cpus=2,
        num_gpus=0,
        object_store_memory=lean_ray.OBJECT_STORE_BYTES,
        include_dashboard=False,
        temp_dir=str(folder),
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
