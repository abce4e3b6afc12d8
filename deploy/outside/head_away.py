"""How long a cluster's actors outlive its head, which only who starts Ray can say."""

from typing import Final

SETTING: Final = "gcs_rpc_server_reconnect_timeout_s"
"""Of Ray: in the environment of its processes with `RAY_` before it, or in `--system-config`."""
DEFAULT: Final = 60


def warning(said: str) -> str:
    """What the user should know when the cluster says `said` (empty: nothing); or nothing."""
    if said and said != str(DEFAULT):
        return ""
    return (
        f"warning: proxies end about {DEFAULT} s after Ray's head does: start Ray with "
        f"RAY_{SETTING}=86400 in the environment of each node, and they serve on"
    )
