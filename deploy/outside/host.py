"""A mesh's driver in a cluster: `python -m tulle.deploy.outside.host`, a child of the watcher.

In the place of the Ray host (`deploy.local`), of which it has options, events and end. Spawns what
is not there, finds what is, keeps node agents, and ends when a control actor has ended for good, so
that the watcher starts it again. Its own end leaves all actors where they are.
"""

import logging
import os
from typing import Final

from ray.exceptions import RayError

from tulle.deploy import local, logs, settings
from tulle.deploy.errors import Failure
from tulle.deploy.home import Home
from tulle.deploy.outside import cluster, head_away, standing

LOOK_SECONDS: Final = 2.0

_LOG = logging.getLogger("tulle.host")


def main(arguments: list[str] | None = None) -> int:
    """Runs until told to end; the process's exit status."""
    of = local.parse(arguments)
    say = local.events()
    logs.start(as_json=settings.read(of.mesh).json_logs)
    ended = local.end_on_request()
    try:
        of.node = cluster.join(of.ray, of.mesh, of.mesh_home)
        local.take_signals(ended)  # again: Ray has set handlers of its own
        stands = standing.begin(Home(of.mesh_home), of.ray, of.nats_url)
        agents = cluster.Agents(of.mesh, of.mesh_home, stands)
        agents.settle()
        say("ray-ready")
        if warning := head_away.warning(agents.head_away()):
            say(warning)
        if local.spawn_control(of, ended):
            say("actors-ready")
        while not ended.wait(LOOK_SECONDS):
            agents.settle()
            cluster.look(of.mesh, of.node, local.control_names(of))
    except (cluster.Unusable, Failure, RayError, TimeoutError) as error:
        _LOG.error("%s", error)
        say(str(error), error=True)
        return 1
    cluster.leave()
    return 0


if __name__ == "__main__":
    status = main()
    if status:  # what Ray would do at the exit may wait for what is gone
        logging.shutdown()
        os._exit(status)
