"""What a control actor is told at its spawn; enough to start again after its death, by itself.

The counterpart for proxies is actors.proxy.spec. Made by the Ray host (deploy.local), read by the
actors of the rooms authority, evaluator, supervisor and telemetry.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tulle.actors.proxy.spec import AccessLogForm

Role = Literal["authority", "evaluator", "supervisor", "collector"]


@dataclass(frozen=True, slots=True)
class ControlSpec:
    """A control actor's role and where it finds bus and files.

    `id` is unique among the living of its role ("1", "2"). `home` is the mesh's folder (0700),
    `<TULLE_HOME>/<mesh>`. `nats_credentials` is the path of the role's credentials file,
    `nats_keys` (supervisor) the folder of what users are made with (bus.issuer). Without a
    `log_folder` it has no log of its own.
    """

    role: Role
    id: str
    mesh: str
    nats_url: str
    nats_credentials: str
    home: str
    nats_keys: str = ""
    trust_domain: str = "cluster.local"
    leaf_ttl_seconds: float = 86_400.0
    log_folder: str = ""
    json_logs: bool = False
    telemetry: bool = True  # of proxies (supervisor): see ProxySpec
    access_log: AccessLogForm = "off"

    @property
    def name(self) -> str:
        """The actor's, unique in the mesh: also its name as a leader and in events."""
        return f"tulle-{self.member}"

    @property
    def member(self) -> str:
        """What it is called among the members of its pool."""
        return f"{self.role}-{self.id}"

    @property
    def authority_folder(self) -> Path:
        """Keys, certificates and `ticket.key`: for authority and supervisor alone."""
        return Path(self.home) / "authority"

    @property
    def holder(self) -> str:
        """The watcher's unix socket, which holds the gateways' and the collector's sockets."""
        return str(Path(self.home) / "holder.sock")

    def proxy_user(self, proxy: str) -> str:
        """The credentials file of a proxy's own NATS user."""
        return str(Path(self.proxy_folder(proxy)) / "nats.json")

    def proxy_folder(self, proxy: str) -> str:
        """A proxy's own folder, for its key and certificate."""
        return str(Path(self.home) / "proxies" / proxy)
