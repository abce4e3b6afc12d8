"""`python -m tulle.deploy.outside.end`: ends all actors of a mesh in a cluster, for `tulle down`.

The supervisor first: it would start proxies again. Says on stdout what was done; what went wrong is
the last line of stderr.
"""

import argparse
import sys
import time
from pathlib import Path
from typing import Final

from ray.exceptions import RayError

from tulle.actors import spawn
from tulle.deploy.outside import cluster

GONE_SECONDS: Final = 15.0
_POLL_SECONDS: Final = 0.1


def main(arguments: list[str] | None = None) -> int:
    """The process's exit status."""
    parser = argparse.ArgumentParser(prog="python -m tulle.deploy.outside.end", description=__doc__)
    parser.add_argument("--mesh", required=True)
    parser.add_argument("--mesh-home", required=True, type=Path)
    parser.add_argument("--ray", required=True)
    of = parser.parse_args(arguments)
    try:
        cluster.join(of.ray, of.mesh, of.mesh_home)
        count = end_all(of.mesh)
    except (cluster.Unusable, RayError, TimeoutError) as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        cluster.leave()
    print(f"ended {count} actors in Ray at {of.ray}")
    return 0


def end_all(mesh: str) -> int:
    """Ends them, and returns how many when none is left. Raises `TimeoutError`, `RayError`."""
    ended: set[str] = set()
    deadline = time.monotonic() + GONE_SECONDS
    while names := spawn.names_in(mesh):
        if time.monotonic() > deadline:
            raise TimeoutError(f"still there after {GONE_SECONDS:.0f} s: {', '.join(names)}")
        # As long as there is a supervisor, others may come.
        first = [name for name in names if name.startswith("tulle-supervisor-")]
        for name in first or names:
            spawn.end(mesh, name)
            ended.add(name)
        time.sleep(_POLL_SECONDS)
    return len(ended)


if __name__ == "__main__":
    sys.exit(main())
