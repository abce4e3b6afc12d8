"""What a proxy actor is told at its spawn; enough to start again after its death, by itself.

Made by the supervisor (actors.supervisor), read by actors.proxy.actor.
"""

from dataclasses import dataclass, field
from typing import Final, Literal

AccessLogForm = Literal["off", "text", "json"]
ACCESS_LOG_FORMS: Final[tuple[AccessLogForm, ...]] = ("off", "text", "json")


def actor_name(proxy: str) -> str:
    """The name of a proxy's actor, and of its log."""
    return f"tulle-proxy-{proxy}"


def access_log_name(proxy: str) -> str:
    """The name of a proxy's access log."""
    return f"access-{proxy}"


@dataclass(frozen=True, slots=True)
class PortSpec:
    """A port of the workload: service port `service` is the app's `app` on loopback."""

    service: int
    app: int
    name: str = ""
    protocol: str = "http"


@dataclass(frozen=True, slots=True)
class ProxySpec:
    """A proxy's identity and where it finds bus, holder and its own folder.

    `holder` is the unix socket of the process that holds its listening sockets. `folder` (0700)
    is its own, for key, certificate and last good config. `ticket` is what the authority asks with
    its CSR.
    For a sidecar `id` is the workload's id; for a gateway `pool` is set and `service` is the
    pool's name. `credential_sha256` (sidecar): hex digest of the expected
    `Proxy-Authorization` password.
    """

    id: str
    mesh: str
    role: Literal["sidecar", "gateway"]
    namespace: str
    account: str
    service: str
    nats_url: str
    nats_credentials: str  # path of its own user's credentials file
    holder: str
    folder: str
    ticket: str = field(repr=False)
    version: str = ""
    node: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    trust_domain: str = "cluster.local"
    pool: str = ""
    ports: tuple[PortSpec, ...] = ()
    credential_sha256: str = ""
    leaf_ttl_seconds: float = 86_400.0
    log_folder: str = ""  # empty: no log of its own
    json_logs: bool = False
    telemetry: bool = True  # False: nothing is counted, to measure what counting costs
    access_log: AccessLogForm = "off"  # a line per request in `log_folder`

    @property
    def name(self) -> str:
        """The actor's."""
        return actor_name(self.id)

    @property
    def spiffe_id(self) -> str:
        """The identity that its certificate carries."""
        return f"spiffe://{self.trust_domain}/ns/{self.namespace}/sa/{self.account}"

    @property
    def workload_name(self) -> str:
        """What Istio's metrics call the workload: the deployment, `reviews-v1`."""
        return f"{self.service}-{self.version}" if self.version else self.service
