"""Notices that Ray is dying, and ends what is left of it at once.

Without its raylet a proxy ends within 1.6 s. Without gcs_server it would serve on, but nobody could
start another: actors that die stay dead. Waiting mends neither, and a driver may hang for ever in
`ray.shutdown` when the head is gone. So all of the session is killed, this process ends with
`RAY_DIED`, and the watcher starts the next; connections wait on held sockets meanwhile.
"""

import logging
import os
import select
import threading
from collections.abc import Callable, Mapping
from typing import Final

from tulle.deploy import processes

RAY_DIED: Final = 75
"""Exit status; EX_TEMPFAIL of sysexits.h."""

_LOG = logging.getLogger("tulle.local")


def watch(vital: Mapping[str, int], died: Callable[[str], None]) -> None:
    """Calls `died(name)`, once and in a thread, when the first of these children has ended.

    `vital`: pids by name. Sleeps until then: nothing is polled.
    """
    names = {os.pidfd_open(pid): name for name, pid in vital.items()}

    def wait() -> None:
        ended, _, _ = select.select(list(names), [], [])
        died(names[ended[0]])

    threading.Thread(target=wait, name="ray-death", daemon=True).start()


def end_at_once(name: str) -> None:
    """Kills all of this process's session, itself last: `name` of Ray has ended."""
    _LOG.error("%s has ended: all of Ray is ended at once, to be started again", name)
    processes.kill_others(processes.this_process())
    logging.shutdown()
    os._exit(RAY_DIED)  # whatever Ray wants to do at an exit would wait for what is gone
