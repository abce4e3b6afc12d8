"""What Ray reads from the environment: set before `import ray`, which reads it once.

Kept apart from `lean_ray.py` for that reason alone. The processes that Ray starts inherit it.
"""

import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Final

_HEAD_AWAY_SECONDS: Final = 86_400
"""How long actors outlive the head; by default they end after 64 s."""


def prepare(home: Path) -> None:
    """Sets it, with a token in `home` (0700) that all who talk to this Ray must show."""
    token = home / "ray.token"
    with suppress(FileExistsError):
        descriptor = os.open(token, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(32))
    os.environ.update(
        RAY_USAGE_STATS_ENABLED="0",
        RAY_AUTH_MODE="token",
        RAY_AUTH_TOKEN_PATH=str(token),
        RAY_gcs_rpc_server_reconnect_timeout_s=str(_HEAD_AWAY_SECONDS),
        # By default Ray's workers yield to all others (nice 15): proxies starve beside busy apps.
        RAY_worker_niceness="0",
        # Events of tasks and metrics of Ray itself are for its dashboard, which we don't start.
        RAY_task_events_report_interval_ms="0",
        RAY_enable_metrics_collection="0",
    )
